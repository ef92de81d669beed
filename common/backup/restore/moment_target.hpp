#pragma once
#include "common/archive/wal/wal_note.hpp"
#include "common/pg/moment.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace walgd::backup {

/// Where recovery is to end, as PostgreSQL's recovery_target_* settings mean it.
struct MomentTarget {
    enum class Kind { end, time, lsn, xid, name, immediate };
    Kind kind = Kind::end;
    Time time{};
    pg::Lsn lsn{0};
    std::uint32_t xid = 0;
    std::string name{};
    bool inclusive = true; ///< of time, lsn and xid

    /// For people: "time 2026-11-25 12:03:04.512+00".
    std::string text() const;
};

/// "2026-11-25 12:03:04.512+00", or with T and Z; the zone must be there. Error(misconfigured) when it is none of these.
Time parse_target_time(const std::string& text);
/// As PostgreSQL reads it: "2026-11-25 12:03:04.512+00".
std::string target_time_text(Time time);

/// Follows the records of the WAL as recovery does (recoveryStopsBefore() and recoveryStopsAfter() in
/// src/backend/access/transam/xlogrecovery.c; xlog.c before 15), and finds the one that it ends at.
class StopFinder : public pg::RecordSink {
public:
    struct Stop {
        pg::Lsn begin{0}, end{0}; ///< of the record that says so
        bool before = false;      ///< it is not replayed
    };
    /// Recovery begins at `start`, and is consistent from `consistent` on.
    StopFinder(MomentTarget target, pg::Lsn start, pg::Lsn consistent)
        : target_(target), start_(start), consistent_(consistent) {}

    /// Which records must be shown.
    pg::Wanted wanted() const { return by_place() ? pg::Wanted::all : pg::Wanted::noted; }
    /// Could the stop be in a segment with this note, which ends at `segment_end`?
    bool may_stop_in(const archive::WalNote& note, pg::Lsn segment_end) const;
    /// A segment in which recovery does not stop.
    void pass(const archive::WalNote& note);
    /// `version`: of the server that wrote what is shown next.
    void set_version(int version) { version_ = version; }
    void record(const pg::RecordHeader& header, pg::Lsn end, ByteView bytes) override;

    const std::optional<Stop>& stop() const { return stop_; }
    /// PostgreSQL would refuse: the stop is before the cluster is consistent.
    bool too_early() const { return stop_ && target_.kind != MomentTarget::Kind::immediate && stop_->begin < consistent_; }
    /// A transaction ended behind the backup and before the stop.
    bool past_backup() const { return past_backup_; }
    /// The last commit that is recovered.
    const std::optional<archive::NotedEnd>& last_commit() const { return last_commit_; }
    /// The transaction that the target is a subtransaction of, where one was seen.
    const std::optional<std::uint32_t>& parent() const { return parent_; }

private:
    bool by_place() const { return target_.kind == MomentTarget::Kind::lsn || target_.kind == MomentTarget::Kind::immediate; }
    bool stops_before(const pg::RecordHeader& header, const std::optional<pg::Moment>& moment) const;
    bool stops_after(const pg::RecordHeader& header, pg::Lsn end, const std::optional<pg::Moment>& moment) const;
    void note(const pg::RecordHeader& header, pg::Lsn end, const std::optional<pg::Moment>& moment);

    const MomentTarget target_;
    const pg::Lsn start_, consistent_;
    int version_ = 18;
    bool past_backup_ = false;
    std::optional<Stop> stop_;
    std::optional<archive::NotedEnd> last_commit_;
    std::optional<std::uint32_t> parent_;
};

} // namespace walgd::backup
