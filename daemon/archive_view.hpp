#pragma once
#include "common/archive/archive_summary.hpp"
#include "common/archive/wal/wal_integrity.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace walgd::daemon {

/// One base backup, as metrics and page tell it.
struct BackupView {
    std::string name, wal_file, origin; ///< origin: the parent's start segment, of a delta
    bool delta = false, permanent = false;
    bool alone = false; ///< it is there for its own moment: permanent, or retention left it the WAL of its own and no more
    int pg_version = 0;
    std::uint64_t start_lsn = 0, finish_lsn = 0;
    Time started{}, finished{}, modified{};
    std::int64_t bytes = 0, stored_bytes = 0;
    std::optional<pg::Segment> segment; ///< where it starts
    bool leads_on = false;              ///< to the newest timeline, by the histories
};

/// Any moment from the end of a backup on, as far as no segment is missing.
struct RestoreWindow {
    std::string backup; ///< the first that ends in it
    Time since{};       ///< its end; not known: the default
    pg::TimelineId timeline{0};
    archive::SegmentRun segments; ///< from the backup's start
    bool open = false;            ///< it goes on with what is stored next
};

/// The archive as of the last look: a value, so that metrics and page tell the same.
struct ArchiveView {
    std::chrono::system_clock::time_point began{}, at{}; ///< of the look; never looked: the default
    std::chrono::duration<double> backups_took{}, wal_took{};
    std::string trouble; ///< why the last look failed; the rest is as of the one before
    std::uint64_t looks_failed = 0;
    std::vector<BackupView> backups; ///< by start
    archive::WalCatalogue wal;
    archive::TimelineParents parents;
    std::vector<archive::BackupDetails> details; ///< of the backups, by modification

    // Computed from the two above, along the newest timeline's history.
    /// From the oldest backup that is not permanent, or the oldest segment, to the newest one; without backups that were kept
    /// with the WAL of their own alone.
    std::vector<archive::CheckedRun> runs;
    std::uint64_t missing = 0;     ///< segments in gaps of these
    std::uint64_t continuous = 0;  ///< segments since the last gap
    std::uint64_t useless = 0;     ///< segments older than every backup
    std::size_t valid_backups = 0; ///< backups from which the newest segment can be recovered
    std::optional<pg::Segment> newest;
    std::vector<RestoreWindow> windows; ///< oldest first; one for each stretch of `runs` without a gap that has a backup

    /// Segments that PostgreSQL calls archived and the archive lacks, as of the look; nothing where that cannot be seen.
    std::optional<std::uint64_t> lost;
};

/// Fills what is computed. `history`: of the newest timeline that has segments; nothing where the archive has none.
void judge(ArchiveView& view, const std::optional<pg::TimelineHistory>& history);
/// What a view can tell of a file that was stored since.
enum class Noted {
    known,        ///< the view has it
    without_size, ///< the view has it, but not how large it is
    not_known     ///< only another look can tell what it means: the first segment of a timeline, a history
};
/// A WAL file that was stored since the look, and now has `stored_bytes` there; 0: not known. The catalogue has it then; what is
/// computed goes on while segments follow each other, and waits for the next look where one fills a gap.
Noted note_stored(ArchiveView& view, const std::string& wal_file, std::uint64_t stored_bytes);

/// For who asks what the archive holds. Without `backups` their documents are left out.
archive::ArchiveSummary summary_of(const ArchiveView& view, bool backups);

/// As the view keeps it.
BackupView view_of(const archive::BackupDetails& details, std::uint64_t segment_bytes);

} // namespace walgd::daemon
