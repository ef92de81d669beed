#pragma once
#include "common/pg/moment.hpp"
#include "common/pg/requirement.hpp"
#include "common/pg/wal_name.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace walgd::archive {

/// One end of a transaction: its record, and what that says.
struct NotedEnd {
    pg::Lsn begin{0}, end{0};
    Time time{};
    std::uint32_t xid = 0;
    friend bool operator==(const NotedEnd&, const NotedEnd&) = default;
};

/// A restore point (pg_create_restore_point()).
struct NotedPoint {
    pg::Lsn begin{0}, end{0};
    Time time{};
    std::string name;
    friend bool operator==(const NotedPoint&, const NotedPoint&) = default;
};

/// A checkpoint: recovery from it begins at `redo`.
struct NotedCheckpoint {
    pg::Lsn begin{0}, redo{0};
    Time time{};
    bool shutdown = false;
    friend bool operator==(const NotedCheckpoint&, const NotedCheckpoint&) = default;
};

/// What recovery needs to go on.
struct NotedRequirement {
    pg::Lsn begin{0};
    pg::Requirement what;
    friend bool operator==(const NotedRequirement&, const NotedRequirement&) = default;
};

/// What a restore asks of a run of WAL: the moments and requirements whose records begin in it. The order is the WAL's, in which
/// times and transaction ids need not rise.
struct WalNote {
    pg::Lsn until{0};     ///< behind the last whole record
    bool complete = true; ///< false: it has moments that are not noted
    bool ended = false;   ///< the WAL ends in it: by a segment switch, or because it was written no further
    std::uint64_t commits = 0, aborts = 0;
    std::optional<NotedEnd> first_commit, last_commit;
    std::optional<Time> time_min, time_max;        ///< of commits and aborts
    std::optional<std::uint32_t> xid_min, xid_max; ///< of commits and aborts; on the circle of transaction ids
    std::vector<NotedEnd> samples;                 ///< the last commit of each part of the run, without the very last
    std::vector<NotedPoint> restore_points;
    std::vector<NotedCheckpoint> checkpoints;
    std::vector<NotedRequirement> requirements;
    std::uint64_t stored_bytes = 0; ///< of the object that it was stored as; 0: not known
    friend bool operator==(const WalNote&, const WalNote&) = default;

    static constexpr std::size_t samples_max = 64, points_max = 64, checkpoints_max = 16;

    void add(const pg::Moment& moment, pg::Lsn begin, pg::Lsn end);
    void add(const pg::Requirement& requirement, pg::Lsn begin);
    /// What comes behind this run.
    void append(const WalNote& later);
    bool may_have_xid(std::uint32_t xid) const;
};

/// True when transaction id `a` is before `b` on the circle.
inline bool xid_before(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(a - b) < 0; }

/// Notes of neighbouring segments, as one object keeps them: their cluster, timeline and segment size are the same.
struct NoteBlock {
    pg::SystemIdentifier system{0};
    pg::TimelineId timeline{0};
    std::uint64_t segment_bytes = pg::segment_bytes_default;
    std::vector<std::pair<std::uint64_t, WalNote>> notes; ///< by the segment's number, rising
};
std::string to_json(const NoteBlock& block);
/// Error(corrupt), naming `object`, when it is none.
NoteBlock parse_note_block(std::string_view json, const std::string& object);

} // namespace walgd::archive
