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

void Crc32c::update(ByteView bytes) {
    auto state = state_;
    for (const auto byte : bytes) state = state >> 8 ^ table[(state ^ std::to_integer<std::uint32_t>(byte)) & 0xFF];
    state_ = state;
}

std::uint32_t crc32c(ByteView bytes) {
    Crc32c crc;
    crc.update(bytes);
    return crc.value();
}

} // namespace walgd::pg
