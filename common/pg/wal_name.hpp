#pragma once
#include "common/pg/lsn.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace walgd::pg {

/// What names begin with, in hex digits; a segment's begins with its timeline's.
inline constexpr std::size_t timeline_digits = 8, segment_digits = 24;

/// The four kinds of files that PostgreSQL archives (src/include/access/xlog_internal.h).
enum class WalFileKind {
    segment,        ///< 24 hex digits
    partial,        ///< <segment>.partial
    history,        ///< TTTTTTTT.history
    backup_history, ///< <segment>.<8 hex digits>.backup
};

/// Nothing, if PostgreSQL has no WAL file of that name (upper-case hex only).
std::optional<WalFileKind> wal_file_kind(std::string_view name);

/// One segment: a timeline and a number. The number counts segments of the cluster's segment size since the cluster began.
struct Segment {
    TimelineId timeline{1};
    std::uint64_t number = 0;
    friend auto operator<=>(const Segment&, const Segment&) = default;
};

inline constexpr std::uint64_t segment_bytes_default = 16ULL << 20;

/// Power of two, 1 MiB to 1 GiB.
bool valid_segment_bytes(std::uint64_t segment_bytes);
/// Nothing, if `name` does not begin with 24 upper-case hex digits or its low part is too large for the segment size.
std::optional<Segment> parse_segment(std::string_view name, std::uint64_t segment_bytes);
std::string segment_name(Segment segment, std::uint64_t segment_bytes);
/// "TTTTTTTT.history": the file that tells what a timeline came from.
std::string history_name(TimelineId timeline);
/// The first byte of the segment.
Lsn segment_start(Segment segment, std::uint64_t segment_bytes);
/// The number of the segment that holds the byte at `lsn`.
std::uint64_t segment_number(Lsn lsn, std::uint64_t segment_bytes);

} // namespace walgd::pg
