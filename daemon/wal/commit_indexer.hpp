#pragma once
#include "common/archive/wal/commit_index.hpp"
#include "common/archive/wal/segment_scan.hpp"
#include "common/base/signal.hpp"

#include <memory>
#include <optional>

namespace walgd::daemon {

/// Keeps the commit-time index of what is pushed: writes it once a minute, or after many segments, one object for 256 of them. No
/// push waits for it or fails by it; what could not be written is tried again, and forgotten when there is too much of it: it can
/// be made again from the WAL. On the I/O thread.
class CommitIndexer {
public:
    struct Counters {
        std::uint64_t noted = 0, written = 0, failed = 0;
    };
    explicit CommitIndexer(archive::Archive& archive);

    /// A stored segment; `stored_bytes` of its object, 0 where they are not known. Returns at once.
    void add(std::shared_ptr<const archive::SegmentScan> scan, std::uint64_t stored_bytes);
    /// Writes now and then, until cancelled.
    awaitable<void> run();
    /// Writes what is not written yet.
    awaitable<void> flush();
    const Counters& counters() const { return counters_; }

private:
    static constexpr std::size_t blocks_max = 8, edges_max = 32, unwritten_max = 64;

    struct Block {
        archive::NoteBlock notes;
        std::uint64_t changed = 0, written = 0;
    };
    void note(archive::ScannedSegment scanned);
    void join_neighbours(archive::ScannedSegment& scanned);
    void put(const archive::ScannedSegment& scanned);
    void forget_oldest();
    awaitable<void> merge_with_stored(archive::IndexPlace place);
    awaitable<void> write(archive::IndexPlace place);
    std::optional<archive::IndexPlace> unwritten() const;

    archive::Archive& archive_;
    const std::string writer_; ///< empty where what is there can be read and is added to
    std::map<archive::IndexPlace, Block> blocks_;
    std::map<pg::Segment, archive::ScannedSegment>
        edges_; ///< of which a record may go on in the next, or come from the one before
    std::uint64_t change_ = 0;
    std::size_t unwritten_ = 0;
    Signal many_;
    Counters counters_;
};

} // namespace walgd::daemon
