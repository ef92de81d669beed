#pragma once
#include "tests/unit/async_support.hpp"

#include <cstring>
#include <random>
#include <string>

namespace walgd::test {

/// The long header of a segment's first page, as src/include/access/xlog_internal.h lays it out.
struct WalHeaderText {
    std::uint16_t magic = 0xD110; ///< PostgreSQL 15
    std::uint16_t info = 2;       ///< long header
    std::uint32_t timeline = 1;
    std::uint64_t address = 1 << 20;
    std::uint64_t system = 7364522330287841025;
    std::uint32_t segment_bytes = 1 << 20;
    std::uint32_t page_bytes = 8192;

    std::string bytes() const {
        std::string text(40, '\0');
        auto set = [&](std::size_t at, const auto& value) { std::memcpy(text.data() + at, &value, sizeof value); };
        set(0, magic);
        set(2, info);
        set(4, timeline);
        set(8, address);
        set(24, system);
        set(32, segment_bytes);
        set(36, page_bytes);
        return text;
    }
};

/// A whole segment of 1 MiB: a header, and content that differs by `seed`.
inline std::string segment_text(const WalHeaderText& header, unsigned seed = 1) {
    auto text = header.bytes();
    std::minstd_rand dice(seed);
    while (text.size() < header.segment_bytes) text += static_cast<char>(dice() % 16);
    return text;
}

} // namespace walgd::test
