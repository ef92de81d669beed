#pragma once
#include "common/archive/archive.hpp"
#include "common/pg/timeline_history.hpp"
#include "common/pg/wal_name.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

/// What wal_005/ holds, as its names and sizes tell: a few words a run of segments, whatever their number.
namespace walgd::archive {

/// Segments that follow each other without a gap.
struct SegmentRun {
    std::uint64_t first = 0, last = 0;
    std::uint64_t count() const { return last - first + 1; }
    friend bool operator==(const SegmentRun&, const SegmentRun&) = default;
};

/// The stored segments of one timeline; never none.
struct WalTimeline {
    pg::TimelineId id{0};
    std::vector<SegmentRun> runs; ///< ascending, with a gap between any two
    std::uint64_t segments = 0;
    std::uint64_t bytes = 0; ///< in the storage

    std::uint64_t first() const { return runs.front().first; }
    std::uint64_t last() const { return runs.back().last; }
    bool has(std::uint64_t number) const;
    /// A segment that was not there; `stored_bytes` in the storage.
    void add(std::uint64_t number, std::uint64_t stored_bytes);
    /// What is missing between the first and the last, ascending.
    std::vector<SegmentRun> gaps() const;
};

/// An object that is not as it should be, and counts for nothing.
struct OddObject {
    std::string name; ///< in wal_005/
    std::string what; ///< "is empty"
    friend bool operator==(const OddObject&, const OddObject&) = default;
};

/// What wal_005/ holds, by one listing.
struct WalCatalogue {
    std::uint64_t segment_bytes = pg::segment_bytes_default;
    std::map<pg::TimelineId, WalTimeline> timelines;
    std::vector<std::string>
        others; ///< names of objects that are no segments, sorted: histories, backup labels ... and what is foreign
    std::vector<OddObject> odd; ///< sorted by name
    std::uint64_t objects = 0;
    std::uint64_t bytes = 0;                     ///< of all of them
    std::set<const codec::Compression*> methods; ///< by which WAL files are stored

    bool has(pg::Segment segment) const;
    /// The highest of all segments and history files; nothing without any.
    std::optional<pg::TimelineId> highest_timeline() const;
};

/// Puts a catalogue together from a listing, in any order.
class WalCollector {
public:
    /// `name` without the folder.
    void add(std::string_view name, std::uint64_t bytes);
    void add_folder(std::string_view name);
    /// A segment's object whose header tells the segment size: that with the highest name.
    struct Sample {
        std::string name; ///< of the object
        const codec::Compression* compression = nullptr;
    };
    const std::optional<Sample>& sample() const { return sample_; }
    WalCatalogue finish(std::uint64_t segment_bytes) &&;

private:
    struct Entry {
        std::uint64_t place; ///< the last sixteen digits of the name
        std::uint64_t bytes;
    };
    std::map<std::uint32_t, std::vector<Entry>> entries_; ///< by timeline
    std::optional<Sample> sample_;
    WalCatalogue catalogue_;
};

/// By one listing: visit_wal().
awaitable<WalCollector> collect_wal(storage::Storage& storage, unsigned at_once);

/// The catalogue. Segments have `segment_bytes`; 0: as the header of one of them says, and 16 MiB, with a warning in the log,
/// when it cannot be read.
awaitable<WalCatalogue> list_wal(Archive& archive, std::uint64_t segment_bytes, unsigned at_once);

/// The history file of a timeline; nothing when the archive has none. `others`: the catalogue's.
awaitable<std::optional<pg::TimelineHistory>> stored_history(Archive& archive, pg::TimelineId timeline,
                                                             std::vector<std::string> others);

} // namespace walgd::archive
