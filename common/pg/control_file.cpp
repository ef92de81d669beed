#include "common/pg/control_file.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/base/little_endian.hpp"
#include "common/pg/crc32c.hpp"

#include <algorithm>
#include <bit>
#include <fcntl.h>
#include <fmt/format.h>

namespace walgd::pg {

namespace {

/// Offsets in ControlFileData, as the compiler lays it out on 64-bit machines.
struct Layout {
    std::size_t block_bytes, relation_file_blocks, wal_segment_bytes, data_checksum_version, crc;
};

// 13 to 17 share these places; 18 added a field before the checksum.
constexpr Layout layout_1300{216, 220, 228, 252, 288};
constexpr Layout layout_1800{216, 220, 228, 252, 292};

/// What configure --with-blocksize takes.
constexpr std::uint32_t block_bytes_min = 1024, block_bytes_max = 32768;

// All versions have these there.
constexpr std::size_t state_at = 16, checkpoint_at = 32, redo_at = 40, checkpoint_timeline_at = 48, min_recovery_at = 136,
                      min_recovery_timeline_at = 144, wal_level_at = 172, max_connections_at = 180;

} // namespace

ControlFile parse_control_file(ByteView bytes, const std::string& path) {
    if (bytes.size() < 296)
        throw Error(ErrorKind::corrupt, fmt::format("{} has {} bytes, too few for a control file", path, bytes.size()),
                    "is it the data directory of a PostgreSQL cluster?");
    ControlFile control;
    control.system = SystemIdentifier(number_at<std::uint64_t>(bytes, 0));
    control.control_version = number_at<std::uint32_t>(bytes, 8);
    control.catalog_version = number_at<std::uint32_t>(bytes, 12);
    if (control.control_version < 1300 || control.control_version > 1899)
        throw Error(ErrorKind::corrupt,
                    fmt::format("{} has version {}, which is none of PostgreSQL 13 to 18", path, control.control_version));
    const auto& layout = control.control_version >= 1800 ? layout_1800 : layout_1300;
    control.state = number_at<std::uint32_t>(bytes, state_at);
    control.block_bytes = number_at<std::uint32_t>(bytes, layout.block_bytes);
    control.relation_file_bytes =
        std::uint64_t{control.block_bytes} * number_at<std::uint32_t>(bytes, layout.relation_file_blocks);
    control.wal_segment_bytes = number_at<std::uint32_t>(bytes, layout.wal_segment_bytes);
    control.data_checksum_version = number_at<std::uint32_t>(bytes, layout.data_checksum_version);
    control.checkpoint = Lsn(number_at<std::uint64_t>(bytes, checkpoint_at));
    control.settings.wal_level = number_at<std::uint32_t>(bytes, wal_level_at);
    for (std::size_t index = 0; index < StandbySettings::names.size(); ++index)
        control.settings.values[index] = number_at<std::uint32_t>(bytes, max_connections_at + index * sizeof(std::uint32_t));
    control.redo = Lsn(number_at<std::uint64_t>(bytes, redo_at));
    control.min_recovery = Lsn(number_at<std::uint64_t>(bytes, min_recovery_at));
    control.timeline = TimelineId(std::max(number_at<std::uint32_t>(bytes, checkpoint_timeline_at),
                                           number_at<std::uint32_t>(bytes, min_recovery_timeline_at)));
    if (crc32c(bytes.first(layout.crc)) != number_at<std::uint32_t>(bytes, layout.crc))
        throw Error(ErrorKind::corrupt, fmt::format("the checksum of {} is wrong", path),
                    "the file is damaged, or was read while the server wrote it");
    if (!std::has_single_bit(control.block_bytes) || control.block_bytes < block_bytes_min ||
        control.block_bytes > block_bytes_max)
        throw Error(ErrorKind::corrupt, fmt::format("{} says that pages have {} bytes", path, control.block_bytes),
                    "no PostgreSQL has such pages: the file was tampered with");
    return control;
}

ControlFile read_control_file(const std::string& pgdata) {
    const auto path = pgdata + "/global/pg_control";
    const auto fd = open_file(path, O_RDONLY);
    std::byte bytes[8192];
    const auto count = read_some(fd.get(), bytes, path);
    return parse_control_file({bytes, count}, path);
}

} // namespace walgd::pg
