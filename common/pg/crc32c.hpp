#pragma once
#include "common/base/bytes.hpp"

#include <cstdint>

namespace walgd::pg {

/// CRC-32C (Castagnoli), as PostgreSQL's control file and WAL records have it (src/include/port/pg_crc32c.h).
/// `before`: of the bytes in front of these, where they come in pieces.
std::uint32_t crc32c(ByteView bytes, std::uint32_t before = 0);

} // namespace walgd::pg
