#pragma once
#include "common/base/bytes.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// Where the frames of a zstd object begin and what is in them: a frame at the object's end that every reader of zstd passes
/// over (RFC 8878, 3.1.2). Its hashes take the place of zstd's own checksums, so that content is hashed once. Little-endian:
///
///     0    52 2A 4D 18      a skippable frame
///     4    size             u32, of what follows
///     8    for each frame   u32 packed bytes, u32 plain bytes, 16 bytes XXH3-128 of the plain ones (canonical)
///     ..   16 bytes         XXH3-128 of what was told of the frames
///     ..   N                u32, number of frames
///     ..   "wgf1"
namespace walgd::codec {

using ContentHash = std::array<std::byte, 16>;
/// XXH3-128: tells whether two contents are the same, not who made them.
ContentHash content_hash(ByteView content);

struct Frame {
    std::uint32_t packed = 0, plain = 0;
    ContentHash hash{};
    bool operator==(const Frame&) const = default;
};

inline constexpr std::uint32_t frame_table_magic = 0x184D2A52;
/// What the table of so many frames has.
std::uint64_t frame_table_bytes_of(std::size_t frames);
std::string compose_frame_table(const std::vector<Frame>& frames);

/// The bytes of the object's end that surely hold the footer.
inline constexpr std::size_t frame_footer_bytes = 24;
/// What the whole table has by its footer, `end` being the object's end; nothing where there is none.
std::optional<std::uint64_t> frame_table_bytes(ByteView end);
/// Reads a table, all of it and no more. Nothing where it is none, is damaged, or has frames that are empty or larger than
/// compressor()'s.
std::optional<std::vector<Frame>> parse_frame_table(ByteView table);
/// The same of an object of `object_bytes`; nothing where it does not fit that.
std::optional<std::vector<Frame>> parse_frame_table(ByteView table, std::uint64_t object_bytes);

} // namespace walgd::codec
