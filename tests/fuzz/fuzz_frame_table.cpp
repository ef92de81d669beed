#include "common/codec/compression.hpp"
#include "common/codec/frame_table.hpp"

#include <cstdlib>
#include <cstring>

namespace {

using namespace walgd;

std::uint64_t packed_bytes(const std::vector<codec::Frame>& frames) {
    std::uint64_t bytes = 0;
    for (const auto& frame : frames) bytes += frame.packed;
    return bytes;
}

/// A table that is taken is composed again to the same bytes.
void read(ByteView table, std::uint64_t object_bytes) {
    const auto frames = codec::parse_frame_table(table, object_bytes);
    if (!frames) return;
    if (codec::compose_frame_table(*frames) != text_of(table) || packed_bytes(*frames) + table.size() != object_bytes)
        std::abort();
    for (const auto& frame : *frames)
        if (frame.packed > codec::frame_bound || frame.plain > codec::frame_bytes) std::abort();
}

} // namespace

/// As a table; and as the frames of one, whose hash the fuzzer need not find.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    for (const std::uint64_t packed : {1, 1005}) read(bytes, packed + size);
    std::vector<codec::Frame> frames(size / 8);
    for (std::size_t index = 0; index < frames.size(); ++index) {
        std::memcpy(&frames[index].packed, data + index * 8, 4);
        std::memcpy(&frames[index].plain, data + index * 8 + 4, 4);
    }
    const auto table = codec::compose_frame_table(frames);
    read(bytes_of(table), packed_bytes(frames) + table.size());
    return 0;
}
