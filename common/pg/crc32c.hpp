#pragma once
#include "common/base/bytes.hpp"

#include <cstdint>

namespace walgd::pg {

/// CRC-32C (Castagnoli), as PostgreSQL's control file and WAL records have it (src/include/port/pg_crc32c.h).
std::uint32_t crc32c(ByteView bytes);

/// The same of bytes that come piece by piece.
class Crc32c {
public:
    void update(ByteView bytes);
    std::uint32_t value() const { return ~state_; }

private:
    std::uint32_t state_ = 0xFFFFFFFF;
};

} // namespace walgd::pg
