#pragma once
#include "common/base/bytes.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// Where the frames of a zstd object begin: zstd's seekable format (contrib/seekable_format in its sources), a frame at the
/// object's end that every reader passes over. Little-endian:
///
///     0    5E 2A 4D 18      a skippable frame
///     4    size             u32, of what follows
///     8    for each frame   u32 packed bytes, u32 plain bytes
///     ..   N                u32, number of frames
///     ..   descriptor       u8, 0: no checksums in the table
///     ..   B1 EA 92 8F
namespace walgd::codec {

struct FrameSize {
    std::uint32_t packed = 0, plain = 0;
    bool operator==(const FrameSize&) const = default;
};

std::string compose_frame_table(const std::vector<FrameSize>& frames);

/// The bytes of the object's end that surely hold the footer.
inline constexpr std::size_t frame_footer_bytes = 9;
/// What the whole table has by its footer, `end` being the object's end; nothing where there is none.
std::optional<std::uint64_t> frame_table_bytes(ByteView end);
/// Reads a table, all of it and no more, of an object of `object_bytes`. Nothing where it is none, has frames that are larger
/// than compressor()'s or does not fit the object: then the object is read from its begin to its end.
std::optional<std::vector<FrameSize>> parse_frame_table(ByteView table, std::uint64_t object_bytes);

} // namespace walgd::codec
