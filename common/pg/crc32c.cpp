#include "common/pg/crc32c.hpp"

#include <array>
#include <cstring>

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
constexpr auto crc_table = make_table();

std::uint32_t by_table(ByteView bytes, std::uint32_t value) {
    for (const auto byte : bytes) value = value >> 8 ^ crc_table[(value ^ std::to_integer<std::uint32_t>(byte)) & 0xFF];
    return value;
}

#ifdef __x86_64__
/// The processor's own instruction: WAL records are checked by the gigabyte.
__attribute__((target("sse4.2"))) std::uint32_t by_instruction(ByteView bytes, std::uint32_t value) {
    std::uint64_t wide = value;
    while (bytes.size() >= sizeof wide) {
        std::uint64_t word;
        std::memcpy(&word, bytes.data(), sizeof word);
        wide = __builtin_ia32_crc32di(wide, word);
        bytes = bytes.subspan(sizeof word);
    }
    return by_table(bytes, static_cast<std::uint32_t>(wide));
}
#endif

} // namespace

std::uint32_t crc32c(ByteView bytes, std::uint32_t before) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2")) return ~by_instruction(bytes, ~before);
#endif
    return ~by_table(bytes, ~before);
}

} // namespace walgd::pg
