#pragma once
#include "common/backup/restore/moment_target.hpp"
#include "common/pg/timeline_history.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

/// Which backup and which WAL a restore to a moment takes, or why there is none. Decides by what it is shown.
namespace walgd::backup {

/// As much of a backup as a plan needs.
struct BackupFacts {
    std::string name;
    pg::TimelineId timeline{1};
    pg::Lsn start{0}, finish{0}; ///< WAL is needed from start; consistent from finish on
    Time start_time{}, finish_time{};
};

/// What the archive has.
struct ArchiveView {
    std::uint64_t segment_bytes = pg::segment_bytes_default;
    std::vector<BackupFacts> backups;
    std::map<pg::TimelineId, pg::TimelineHistory> histories; ///< of the first timeline too
    std::set<pg::TimelineId> without_history;                ///< those whose history file is not there
    std::set<pg::Segment> segments;

    bool has(pg::Segment segment) const { return segments.contains(segment); }
    /// To be called when the rest is known. An archive that began after a promotion has no history file of its timeline: as for
    /// PostgreSQL, such a timeline has no parents.
    void add_missing_histories();
    pg::TimelineId latest_timeline() const;
    /// Error(refused), naming those there are.
    const pg::TimelineHistory& history_of(pg::TimelineId timeline) const;
};

/// The segments that recovery reads on its way to a timeline: where one was left within a segment, the later one's file.
class TimelinePath {
public:
    TimelinePath(const ArchiveView& view, pg::TimelineId timeline) : view_(view), history_(view.history_of(timeline)) {}

    pg::Segment segment(std::uint64_t number) const;
    bool has(std::uint64_t number) const { return view_.has(segment(number)); }
    std::string name(std::uint64_t number) const { return pg::segment_name(segment(number), view_.segment_bytes); }
    pg::Lsn end_of(std::uint64_t number) const { return pg::Lsn((number + 1) * view_.segment_bytes); }
    std::uint64_t number_of(pg::Lsn lsn) const { return pg::segment_number(lsn, view_.segment_bytes); }
    /// The highest that is stored; nothing if none is.
    std::optional<std::uint64_t> last() const;
    /// True if what the backup holds is on the way, and not on a branch that was left before it ended.
    bool leads_through(const BackupFacts& backup) const;
    pg::TimelineId timeline() const { return history_.timeline; }
    bool has_history() const { return !view_.without_history.contains(timeline()); }

private:
    const ArchiveView& view_;
    const pg::TimelineHistory& history_;
};

/// The archive's WAL, as far as it must be looked into.
class MomentWal {
public:
    virtual ~MomentWal() = default;
    /// From the index, else from the segment itself. `next` is read where a record goes on in it; nothing: there is none.
    /// Error(corrupt) when the segment is damaged; a damaged `next` is as good as none. The same goes for show(), which needs
    /// `next` where the stop may be in that record.
    virtual archive::WalNote note(pg::Segment segment, std::optional<pg::Segment> next) = 0;
    /// Shows the records that begin in the segment itself, never the index, until `finder` has its stop. A record that is cut off
    /// by the end of what is stored is not shown.
    virtual void show(pg::Segment segment, std::optional<pg::Segment> next, StopFinder& finder) = 0;
};

/// What a person asks for.
struct MomentRequest {
    MomentTarget target;
    std::optional<pg::TimelineId> timeline{}; ///< nothing: the latest
    std::string backup{};                     ///< empty: the one that fits best
};

/// What leads to the moment.
struct MomentPlan {
    BackupFacts backup;
    pg::TimelineId timeline{1};
    bool has_history = true;                      ///< false: PostgreSQL knows the timeline as the backup's own alone
    std::optional<StopFinder::Stop> stop;         ///< nothing: the end of the WAL
    std::optional<archive::NotedEnd> last_commit; ///< that will be recovered; nothing: none since the backup began
    std::string first_segment, last_segment;      ///< of the WAL that recovery needs
    std::uint64_t segments = 0;
    std::vector<archive::NotedRequirement> requirements{}; ///< of the WAL that recovery replays
};

/// Error(refused) when the target cannot be reached, with the nearest moments that can.
MomentPlan plan_moment(const ArchiveView& view, MomentWal& wal, const MomentRequest& request);

/// "12:03:04.512 (xid 7311, LSN 0/A3000128)", with the date.
std::string commit_text(const archive::NotedEnd& commit);

/// Commits around a moment, as near as notes tell: there may be others between them.
struct Bracket {
    std::optional<archive::NotedEnd> after, before; ///< the moment is after the one and before the other
};
/// Of a time or an LSN (`target`, of one of these kinds) on a timeline.
Bracket bracket_of(const ArchiveView& view, MomentWal& wal, pg::TimelineId timeline, const MomentTarget& target);

/// How far one backup leads on one timeline.
struct Window {
    BackupFacts backup;
    std::optional<archive::NotedEnd> last_commit;
    std::string last_segment; ///< empty: not even the backup's own WAL is there
    std::string missing;      ///< the segment whose absence ends it, while later ones are there; else empty
    bool damaged = false;     ///< it is not absent, but cannot be read
    bool usable = false;      ///< the backup's own WAL is there
};
struct TimelineWindows {
    pg::TimelineId timeline{1};
    std::vector<Window> windows; ///< by backup, oldest first
    struct Gap {
        std::string first, last;
        std::uint64_t segments = 0;
    };
    std::vector<Gap> gaps;
};
/// For each timeline of the archive.
std::vector<TimelineWindows> restorable_windows(const ArchiveView& view, MomentWal& wal);

} // namespace walgd::backup
