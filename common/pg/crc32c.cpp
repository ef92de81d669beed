#include "common/pg/crc32c.hpp"

#include <array>

namespace walgd::pg {

namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t index = 0; index < 256; ++index) {
        auto value = index;
        for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ 0x82F63B78 : value >> 1;
        table[index] = value;
    }
    return table;
}
constexpr auto table = make_table();

} // namespace

std::uint32_t crc32c(ByteView bytes) {
    std::uint32_t value = 0xFFFFFFFF;
    for (const auto byte : bytes) value = value >> 8 ^ table[(value ^ std::to_integer<std::uint32_t>(byte)) & 0xFF];
    return ~value;
}

} // namespace walgd::pg
