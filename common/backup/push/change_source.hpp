#pragma once
#include "common/archive/archive.hpp"
#include "common/pg/block_changes.hpp"
#include "common/pg/server.hpp"
#include "common/pg/timeline_history.hpp"
#include "common/pg/wal_summary.hpp"

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

/// What the WAL says was changed between two backups. It counts only where every byte of WAL between them was looked at.
namespace walgd::backup {

/// From the start of the parent to the start of the delta, along the history of the delta's timeline.
struct ChangeRange {
    pg::Lsn from{0}, to{0};
    pg::TimelineHistory history;

    /// One a timeline, oldest first; they follow on each other.
    std::vector<pg::WalRange> pieces() const;
};

struct FoundChanges {
    std::optional<pg::BlockChanges> changes; ///< nothing: `why_not` tells
    std::string why_not;
};

/// By the WAL summaries of PostgreSQL 17 and later. Waits for the server to write those that lead up to the range's end, while it
/// gets on.
FoundChanges changes_by_summaries(archive::Archive& archive, pg::Server& server, const std::string& pgdata,
                                  const ChangeRange& range, std::stop_token stop);

/// By the maps of changed pages that the archive has of every sixteen segments (common/pg/delta_object.hpp), and by the WAL
/// behind the last of them, as long as that is short.
FoundChanges changes_by_maps(archive::Archive& archive, const std::string& pgdata, const ChangeRange& range,
                             std::uint64_t segment_bytes, pg::SystemIdentifier system, std::stop_token stop);

/// By the block references of the WAL itself: each segment from the server's pg_wal, else from the archive.
FoundChanges changes_by_wal(archive::Archive& archive, const std::string& pgdata, const ChangeRange& range,
                            std::uint64_t segment_bytes, std::stop_token stop);

} // namespace walgd::backup
