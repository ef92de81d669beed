#include "common/pg/wal_page.hpp"

#include "common/base/error.hpp"
#include "common/pg/wal_layout.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace walgd::pg {

namespace {

using namespace wal_layout;

struct Magic {
    std::uint16_t magic;
    int version;
};
constexpr std::array magics{Magic{0xD106, 13}, Magic{0xD10D, 14}, Magic{0xD110, 15},
                            Magic{0xD113, 16}, Magic{0xD116, 17}, Magic{0xD118, 18}};
/// PostgreSQL counts upwards from here.
constexpr std::uint16_t oldest_magic = 0xD061;

} // namespace

WalHeader parse_wal_header(ByteView first_bytes, std::string_view file) {
    if (first_bytes.size() < wal_header_bytes)
        throw Error(ErrorKind::corrupt, fmt::format("{} has {} bytes, fewer than a WAL page header", file, first_bytes.size()),
                    "is it a WAL segment at all?");
    WalHeader header;
    header.magic = number_at<std::uint16_t>(first_bytes, 0);
    const auto info = number_at<std::uint16_t>(first_bytes, 2);
    if (header.magic < oldest_magic || header.magic > 0xD1FF)
        throw Error(ErrorKind::corrupt, fmt::format("{} begins with magic {:04X}, which is not a WAL page's", file, header.magic),
                    "is it a WAL segment, and complete? Compressed or encrypted files are not");
    if ((info & long_header) == 0)
        throw Error(ErrorKind::corrupt, fmt::format("{} does not begin with a segment's long page header", file),
                    "was it cut at the front?");
    header.timeline = TimelineId(number_at<std::uint32_t>(first_bytes, 4));
    header.address = Lsn(number_at<std::uint64_t>(first_bytes, 8));
    header.system = SystemIdentifier(number_at<std::uint64_t>(first_bytes, 24));
    header.segment_bytes = number_at<std::uint32_t>(first_bytes, 32);
    header.page_bytes = number_at<std::uint32_t>(first_bytes, 36);
    if (!valid_segment_bytes(header.segment_bytes))
        throw Error(
            ErrorKind::corrupt,
            fmt::format("{} says that its segments have {} bytes, which PostgreSQL never makes", file, header.segment_bytes),
            "the file is damaged");
    return header;
}

void check_wal_header(const WalHeader& header, std::string_view name, std::uint64_t file_bytes) {
    if (file_bytes != header.segment_bytes)
        throw Error(ErrorKind::corrupt,
                    fmt::format("{} has {} bytes, its header says {}", name, file_bytes, header.segment_bytes),
                    "the file is cut or not finished");
    const auto segment = parse_segment(name, header.segment_bytes);
    if (!segment)
        throw Error(ErrorKind::corrupt, fmt::format("{} cannot be the name of a segment of {} bytes", name, header.segment_bytes),
                    "was the file renamed?");
    const auto expected = segment_start(*segment, header.segment_bytes);
    if (header.address != expected)
        throw Error(ErrorKind::corrupt,
                    fmt::format("{} holds the WAL from {}, its name says {}", name, header.address.text(), expected.text()),
                    "the file was renamed, or is an old segment that was recycled");
    if (header.timeline > segment->timeline)
        throw Error(ErrorKind::corrupt, fmt::format("{} holds WAL of timeline {}", name, header.timeline.number()),
                    "the file was renamed");
}

std::optional<int> server_version_of_magic(std::uint16_t magic) {
    const auto found = std::ranges::find(magics, magic, &Magic::magic);
    if (found == magics.end()) return std::nullopt;
    return found->version;
}

int read_as_version(std::uint16_t magic) { return server_version_of_magic(magic).value_or(magics.back().version); }

} // namespace walgd::pg
