#pragma once
#include "common/base/bytes.hpp"

#include <cstdint>

namespace walgd::pg {

/// CRC-32C (Castagnoli), as PostgreSQL's control file and WAL records have it (src/include/port/pg_crc32c.h).
std::uint32_t crc32c(ByteView bytes);

} // namespace walgd::pg
