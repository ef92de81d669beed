#include "common/codec/frame_table.hpp"

#include "common/codec/compression.hpp"

#include <bit>
#include <cstring>

namespace walgd::codec {

static_assert(std::endian::native == std::endian::little, "the numbers are copied as they lie in memory");

namespace {

constexpr std::uint32_t skippable_magic = 0x184D2A5E, seekable_magic = 0x8F92EAB1;
constexpr std::size_t head_bytes = 8, entry_bytes = 8;
/// The format's own limit.
constexpr std::uint32_t frames_max = 0x8000000;

template <class Number> void put(std::string& text, Number number) {
    text.append(reinterpret_cast<const char*>(&number), sizeof number);
}

std::uint32_t number_at(ByteView bytes, std::size_t offset) {
    std::uint32_t number;
    std::memcpy(&number, bytes.subspan(offset).data(), sizeof number);
    return number;
}

} // namespace

std::string compose_frame_table(const std::vector<FrameSize>& frames) {
    std::string text;
    const auto after_head = frames.size() * entry_bytes + frame_footer_bytes;
    text.reserve(head_bytes + after_head);
    put(text, skippable_magic);
    put(text, static_cast<std::uint32_t>(after_head));
    for (const auto& frame : frames) {
        put(text, frame.packed);
        put(text, frame.plain);
    }
    put(text, static_cast<std::uint32_t>(frames.size()));
    put(text, std::uint8_t{0});
    put(text, seekable_magic);
    return text;
}

std::optional<std::uint64_t> frame_table_bytes(ByteView end) {
    if (end.size() < frame_footer_bytes) return std::nullopt;
    const auto footer = end.last(frame_footer_bytes);
    const auto count = number_at(footer, 0);
    if (number_at(footer, 5) != seekable_magic || footer[4] != std::byte{0} || count == 0 || count > frames_max)
        return std::nullopt;
    return head_bytes + count * std::uint64_t{entry_bytes} + frame_footer_bytes;
}

std::optional<std::vector<FrameSize>> parse_frame_table(ByteView table, std::uint64_t object_bytes) {
    if (frame_table_bytes(table) != table.size()) return std::nullopt;
    if (number_at(table, 0) != skippable_magic || number_at(table, 4) != table.size() - head_bytes) return std::nullopt;
    std::vector<FrameSize> frames;
    frames.reserve((table.size() - head_bytes - frame_footer_bytes) / entry_bytes);
    std::uint64_t packed_bytes = table.size();
    for (std::size_t at = head_bytes; at + frame_footer_bytes < table.size(); at += entry_bytes) {
        const FrameSize frame{number_at(table, at), number_at(table, at + 4)};
        if (frame.packed > frame_bound || frame.plain > frame_bytes) return std::nullopt;
        packed_bytes += frame.packed;
        frames.push_back(frame);
    }
    if (packed_bytes != object_bytes) return std::nullopt;
    return frames;
}

} // namespace walgd::codec
