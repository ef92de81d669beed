#pragma once
#include "common/archive/wal/segment_file.hpp"
#include "common/pg/wal_name.hpp"

#include <optional>
#include <string>

namespace walgd::archive {

/// A place in the WAL of one timeline.
struct WalPosition {
    pg::TimelineId timeline{0};
    pg::Lsn lsn{0};
    friend auto operator<=>(const WalPosition&, const WalPosition&) = default;
};

/// Puts the segments of one timeline together out of a stream that comes in any cut.
class WalAssembler {
public:
    /// `start` is the start of a segment. Segments' memory comes out of `budget`.
    WalAssembler(WalPosition start, std::uint64_t segment_bytes, MemoryBudget& budget, std::stop_token stop);

    /// Takes as much of the WAL that begins at `at` as the current segment has room for, and says how much. Error(protocol) when
    /// `at` is not position(): something is missing, or came twice.
    std::size_t take(pg::Lsn at, ByteView wal);
    /// The end of what was taken.
    pg::Lsn position() const { return position_; }

    /// The current segment is complete: release() it before more is taken.
    bool full() const { return filled_ == segment_bytes_; }
    bool empty() const { return filled_ == 0; }
    /// The current one.
    pg::Segment segment() const { return segment_; }
    std::string name() const { return pg::segment_name(segment_, segment_bytes_); }
    std::uint64_t segment_bytes() const { return segment_bytes_; }
    /// The current segment, zeros behind what was taken. Goes on with the next one. Not while empty().
    SegmentFile release();

private:
    const std::uint64_t segment_bytes_;
    MemoryBudget& budget_;
    std::stop_token stop_;
    pg::Segment segment_;
    pg::Lsn position_;
    std::uint64_t filled_ = 0;
    std::optional<SegmentFile> file_;
};

} // namespace walgd::archive
