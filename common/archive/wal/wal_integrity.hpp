#pragma once
#include "common/archive/catalogue.hpp"
#include "common/archive/wal/wal_catalogue.hpp"

#include <functional>
#include <map>

/// WAL-G's wal-verify (walg-format.md, 11.3): whether all WAL from a backup to where the cluster is now is in the archive.
/// Decides only: looks at a catalogue, asks nobody.
namespace walgd::archive {

/// WAL-G's FOUND, MISSING_LOST, MISSING_UPLOADING and MISSING_DELAYED.
enum class SegmentState { found, lost, uploading, delayed };
/// WAL-G's OK, WARNING and FAILURE.
enum class CheckStatus { ok, warning, failure };

/// Segments of one timeline that follow each other and are in the same state.
struct CheckedRun {
    pg::TimelineId timeline{0};
    SegmentRun segments;
    SegmentState state = SegmentState::found;
};

/// Where the timelines of the cluster's history were left, by the segment that holds the switch point; of one segment the oldest
/// first.
using SwitchPoints = std::multimap<std::uint64_t, pg::TimelineId>;
SwitchPoints switch_points(const pg::TimelineHistory& history, std::uint64_t segment_bytes);

/// The first segment that the check covers, and why; `backup` empty: there is no backup to begin with.
struct CheckStart {
    std::string backup;
    std::uint64_t first = 1;
};
/// The backup that begins earliest of those that are not permanent and of the history that leads to `current`. `tell` hears of
/// each that is passed over. `permanent`: names.
CheckStart earliest_backup(const std::vector<BackupEntry>& backups, const std::vector<std::string>& permanent,
                           const SwitchPoints& switches, pg::TimelineId current, std::uint64_t segment_bytes,
                           const std::function<void(const std::string&)>& tell);
/// Why this backup cannot be the earliest; empty: it can.
std::string why_not_usable(const BackupEntry& backup, const SwitchPoints& switches, pg::TimelineId current,
                           std::uint64_t segment_bytes);

/// Segments at the end that may be missing.
struct CheckWindows {
    std::uint64_t delayed = 0;    ///< so many of the newest may be missing because they are late
    std::uint64_t uploading = 16; ///< and so many behind them because they are on their way
};

/// Walks down from behind `current`, which itself is not looked at, to `first`; the runs come back ascending.
std::vector<CheckedRun> check_segments(const WalCatalogue& wal, const SwitchPoints& switches, pg::Segment current,
                                       std::uint64_t first, CheckWindows windows);

/// Of an integrity check. Without a backup, what is missing before the first stored segment is only a warning; where none is
/// stored at all, it is a failure.
CheckStatus status_of(const std::vector<CheckedRun>& runs, bool have_backup);
/// Of a timeline check: `highest` of the storage, nothing when there is no WAL.
CheckStatus timeline_status(std::optional<pg::TimelineId> highest, pg::TimelineId current);

std::string_view name_of(SegmentState state); ///< "FOUND", "MISSING_LOST" ...
std::string_view name_of(CheckStatus status); ///< "OK", "WARNING", "FAILURE"

} // namespace walgd::archive
