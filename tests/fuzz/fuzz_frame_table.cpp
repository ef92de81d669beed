#include "common/codec/compression.hpp"
#include "common/codec/frame_table.hpp"

#include <cstdlib>

/// A table that is taken is composed again to the same bytes, and its frames fit the object.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    const auto table = std::as_bytes(std::span(data, size));
    // Any size of the object that the table itself can be of: the fuzzer need not find it.
    std::uint64_t packed = size;
    for (std::size_t at = 8; at + codec::frame_footer_bytes < size; at += 24)
        packed +=
            data[at] | std::uint64_t{data[at + 1]} << 8 | std::uint64_t{data[at + 2]} << 16 | std::uint64_t{data[at + 3]} << 24;
    const auto frames = codec::parse_frame_table(table, packed);
    if (!frames) return 0;
    if (codec::compose_frame_table(*frames) != text_of(table)) std::abort();
    for (const auto& frame : *frames)
        if (frame.packed > codec::frame_bound || frame.plain > codec::frame_bytes) std::abort();
    return 0;
}
