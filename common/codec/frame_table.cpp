#include "common/codec/frame_table.hpp"

#include "common/base/little_endian.hpp"
#include "common/codec/compression.hpp"

#include <algorithm>
#include <bit>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace walgd::codec {

namespace {

constexpr std::string_view table_magic = "wgf1";
constexpr std::size_t head_bytes = 8, entry_bytes = 8 + sizeof(ContentHash);
constexpr std::size_t count_from_end = 4 + table_magic.size();

} // namespace

ContentHash content_hash(ByteView content) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(content.data(), content.size()));
    return std::bit_cast<ContentHash>(canonical);
}

std::uint64_t frame_table_bytes_of(std::size_t frames) {
    return head_bytes + frames * std::uint64_t{entry_bytes} + frame_footer_bytes;
}

std::string compose_frame_table(const std::vector<Frame>& frames) {
    std::string text;
    const auto after_head = frames.size() * entry_bytes + frame_footer_bytes;
    text.reserve(head_bytes + after_head);
    append_number(text, frame_table_magic);
    append_number(text, static_cast<std::uint32_t>(after_head));
    for (const auto& frame : frames) {
        append_number(text, frame.packed);
        append_number(text, frame.plain);
        text += text_of(frame.hash);
    }
    text += text_of(content_hash(bytes_of(text).subspan(head_bytes)));
    append_number(text, static_cast<std::uint32_t>(frames.size()));
    text += table_magic;
    return text;
}

std::optional<std::uint64_t> frame_table_bytes(ByteView end) {
    if (end.size() < frame_footer_bytes || text_of(end.last(table_magic.size())) != table_magic) return std::nullopt;
    return frame_table_bytes_of(number_at<std::uint32_t>(end.last(count_from_end), 0));
}

std::optional<std::vector<Frame>> parse_frame_table(ByteView table) {
    if (frame_table_bytes(table) != table.size()) return std::nullopt;
    if (number_at<std::uint32_t>(table, 0) != frame_table_magic ||
        number_at<std::uint32_t>(table, 4) != table.size() - head_bytes)
        return std::nullopt;
    const auto entries = table.first(table.size() - frame_footer_bytes).subspan(head_bytes);
    const auto hash = content_hash(entries);
    if (!std::ranges::equal(hash, table.subspan(head_bytes + entries.size(), hash.size()))) return std::nullopt;
    std::vector<Frame> frames;
    frames.reserve(entries.size() / entry_bytes);
    for (std::size_t at = 0; at < entries.size(); at += entry_bytes) {
        Frame frame{number_at<std::uint32_t>(entries, at), number_at<std::uint32_t>(entries, at + 4), {}};
        std::ranges::copy(entries.subspan(at + 8, frame.hash.size()), frame.hash.begin());
        if (frame.packed == 0 || frame.packed > frame_bound || frame.plain > frame_bytes) return std::nullopt;
        frames.push_back(frame);
    }
    if (frames.empty()) return std::nullopt;
    return frames;
}

std::optional<std::vector<Frame>> parse_frame_table(ByteView table, std::uint64_t object_bytes) {
    auto frames = parse_frame_table(table);
    if (!frames) return std::nullopt;
    std::uint64_t bytes = table.size();
    for (const auto& frame : *frames) bytes += frame.packed;
    return bytes == object_bytes ? std::move(frames) : std::nullopt;
}

} // namespace walgd::codec
