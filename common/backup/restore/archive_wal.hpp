#pragma once
#include "common/archive/wal/commit_index.hpp"
#include "common/archive/wal/segment_scan.hpp"
#include "common/archive/wal/wal_find.hpp"
#include "common/backup/restore/load_view.hpp"

#include <set>

namespace walgd::backup {

/// The archive's WAL by its index, and by itself where that says nothing. Blocks; for a job's thread.
class ArchiveWal : public MomentWal {
public:
    /// Without `use_index` the WAL alone is asked.
    ArchiveWal(archive::Archive& archive, const LoadedView& loaded, bool use_index, std::stop_token stop);
    ~ArchiveWal() override;

    archive::WalNote note(pg::Segment segment, std::optional<pg::Segment> next) override;
    void show(pg::Segment segment, std::optional<pg::Segment> next, StopFinder& finder) override;

    /// Shows `sink` the records that begin in a segment, from its own bytes, until there is `enough`. `version` is told first
    /// which server wrote them.
    void read(pg::Segment segment, std::optional<pg::Segment> next, pg::Wanted wanted, pg::RecordSink& sink,
              std::function<bool()> enough, std::function<void(int version)> version = {});
    /// What the index says; nothing if nothing.
    std::optional<archive::WalNote> indexed(pg::Segment segment);
    /// Of segments of one object of the index. On the I/O thread.
    using Progressed = std::function<void(std::uint64_t done, std::uint64_t all)>;
    /// Reads segments that the index says nothing or too little of, several at once, and writes the index. Says how many.
    std::uint64_t rebuild(unsigned at_once, Progressed progressed);

    /// Segments whose own bytes were read.
    std::uint64_t segments_read() const { return segments_read_; }

private:
    std::string name_of(pg::Segment segment) const { return pg::segment_name(segment, view_.segment_bytes); }
    void load(archive::IndexPlace place);
    /// Whether a note is of what is stored now. WAL may have been put in its place by one who keeps no index.
    bool is_of(const archive::WalNote& note, pg::Segment segment) const;
    awaitable<std::optional<archive::RunNote>> scanned(pg::Segment segment, std::optional<pg::Segment> next);
    std::optional<archive::WalNote> find(pg::Segment segment);
    void keep(pg::Segment segment, const std::optional<archive::RunNote>& run);
    awaitable<void> rebuild_one(pg::Segment segment);
    awaitable<void> rebuild_all(std::vector<pg::Segment> segments, unsigned at_once, Progressed progressed);

    archive::Archive& archive_;
    const ArchiveView& view_;
    const std::vector<std::pair<pg::Segment, std::uint64_t>>& stored_bytes_;
    const std::optional<pg::SystemIdentifier> system_;
    const bool use_index_;
    const std::stop_token stop_;
    std::unique_ptr<archive::WalFinder> finder_; ///< used and destroyed on the I/O thread
    std::optional<std::vector<archive::IndexObject>> objects_;
    std::map<archive::IndexPlace, archive::NoteBlock> blocks_;
    std::set<archive::IndexPlace> changed_;
    std::set<pg::Segment> asked_of_wal_;
    std::uint64_t segments_read_ = 0;
};

} // namespace walgd::backup
