#include "common/pg/page.hpp"

#include "common/base/little_endian.hpp"

#include <algorithm>
#include <cstring>

namespace walgd::pg {

namespace {

constexpr std::size_t lanes = 32;
constexpr std::uint32_t fnv_prime = 16777619;
constexpr std::size_t checksum_offset = 8;

/// Start values of the lanes, from src/include/storage/checksum_impl.h.
constexpr std::uint32_t lane_bases[lanes] = {0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2,
                                             0x83E13D2C, 0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C,
                                             0xF718902A, 0x0B1C9CDB, 0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979,
                                             0xCCA6C0B2, 0x304A0979, 0x85AA43D4, 0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E,
                                             0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756};

inline std::uint32_t mix(std::uint32_t sum, std::uint32_t value) {
    const auto mixed = sum ^ value;
    return mixed * fnv_prime ^ (mixed >> 17);
}

bool plausible_header(ByteView page) {
    const auto flags = number_at<std::uint16_t>(page, 10), lower = number_at<std::uint16_t>(page, 12),
               upper = number_at<std::uint16_t>(page, 14), special = number_at<std::uint16_t>(page, 16),
               size_version = number_at<std::uint16_t>(page, 18);
    return (flags & ~7) == 0 && lower >= 24 && lower <= upper && upper <= special && special <= page.size() &&
           (size_version & 0xFF00) == (page.size() & 0xFF00) && (size_version & 0xFF) <= 5;
}

} // namespace

std::uint16_t page_checksum(ByteView page, std::uint32_t block) {
    std::uint32_t sums[lanes];
    std::memcpy(sums, lane_bases, sizeof sums);
    auto add_row = [&](const std::uint32_t* row) {
        for (std::size_t lane = 0; lane < lanes; ++lane) sums[lane] = mix(sums[lane], row[lane]);
    };
    std::uint32_t row[lanes];
    for (std::size_t offset = 0; offset + sizeof row <= page.size(); offset += sizeof row) {
        std::memcpy(row, page.data() + offset, sizeof row);
        // Its own field, the low half of the third word, counts as zero.
        if (offset == 0) row[checksum_offset / 4] &= 0xFFFF0000;
        add_row(row);
    }
    std::ranges::fill(row, 0U);
    add_row(row);
    add_row(row);
    std::uint32_t result = 0;
    for (const auto sum : sums) result ^= sum;
    return static_cast<std::uint16_t>((result ^ block) % 65535 + 1);
}

PageState check_page(ByteView page, std::uint32_t block) {
    if (fresh_page(page)) return PageState::fresh;
    if (!plausible_header(page)) return PageState::bad_header;
    const auto stored = number_at<std::uint16_t>(page, checksum_offset);
    return stored == 0 || stored == page_checksum(page, block) ? PageState::valid : PageState::bad_checksum;
}

bool fresh_page(ByteView page) { return number_at<std::uint16_t>(page, 14) == 0; }
bool plausible_page(ByteView page) { return fresh_page(page) || plausible_header(page); }
bool all_visible_page(ByteView page) { return (number_at<std::uint16_t>(page, 10) & 0x0004) != 0; }

Lsn page_lsn(ByteView page) {
    std::uint32_t halves[2];
    std::memcpy(halves, page.data(), sizeof halves);
    return Lsn(std::uint64_t{halves[0]} << 32 | halves[1]);
}

} // namespace walgd::pg
