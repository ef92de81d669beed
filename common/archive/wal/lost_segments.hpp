#pragma once
#include "common/archive/wal/wal_catalogue.hpp"

/// WAL that PostgreSQL takes for archived, and may have removed already, while the archive does not have it: an archive_command
/// that said 0 too early, or a primary that was lost with its last segments.
namespace walgd::archive {

/// The segments that the server calls archived (NAME.done in pg_wal/archive_status). Nothing where that cannot be read, and on a
/// standby, which calls archived what its primary has yet to archive. Blocks on the disk.
std::optional<std::vector<std::string>> segments_called_archived(const std::string& pgdata);

/// The WAL that makes one backup consistent.
struct BackupWal {
    pg::TimelineId timeline{1};
    SegmentRun own;
    bool alone = false; ///< nobody recovers beyond it: permanent, or of read_kept_alone()
};

/// Those of `called` that the archive lacks, sorted. What may have been deleted does not count: what is older than all backups,
/// and what lay between one that stands alone, and has its own WAL and no more, and the next one.
std::vector<std::string> lost_segments(const std::vector<std::string>& called, const WalCatalogue& wal,
                                       const std::vector<BackupWal>& backups);

} // namespace walgd::archive
