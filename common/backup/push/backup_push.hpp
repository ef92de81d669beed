#pragma once
#include "common/archive/archive.hpp"
#include "common/backup/progress.hpp"
#include "common/backup/push/delta_parent.hpp"
#include "common/pg/server.hpp"

#include <chrono>
#include <optional>
#include <stop_token>
#include <string>

namespace walgd::backup {

/// How a base backup is taken.
struct PushOptions {
    std::string pgdata; ///< must be the connected server's data directory
    pg::ConnectionOptions connection;
    DeltaWish delta; ///< what it is based on, and whether it is permanent
    /// catchup-push: into catchup_folder, what changed since this place in the WAL, for a standby that has replayed up to it.
    std::optional<pg::Lsn> catchup_from{};
    bool verify = true;            ///< page checksums, where the cluster has them
    bool name_all_corrupt = false; ///< WALG_STORE_ALL_CORRUPT_BLOCKS
    bool count_journals = false;   ///< keep a journal of the WAL between backups; not of permanent ones
    bool files_metadata = true;    ///< false: no files_metadata.json, and a full backup; no delta can be based on it
    bool by_database = false;      ///< a part holds files of one database (WALG_USE_DATABASE_COMPOSER)
    bool copy_parts = false;       ///< a full backup takes over unchanged parts of the former (WALG_USE_COPY_COMPOSER)
    bool by_rating = false;        ///< a part holds files that are updated about as often (WALG_USE_RATING_COMPOSER)
    bool table_names = true;       ///< for WAL-G's --restore-only, which finds tables by them
    std::string user_data;         ///< JSON text; empty: none
    std::uint64_t part_bytes_max = 1073741823; ///< WALG_TAR_SIZE_THRESHOLD
    bool part_bytes_given = false;             ///< false: parts are made smaller so that a restore can use every core
    unsigned readers = 1;                      ///< WALG_UPLOAD_DISK_CONCURRENCY
    std::uint64_t disk_bytes_per_second = 0;   ///< WALG_DISK_RATE_LIMIT, over all readers; 0: no limit
    unsigned uploads = 16; ///< WALG_UPLOAD_CONCURRENCY: pieces on their way to the storage at once, over all readers
    std::uint64_t piece_bytes = 8 << 20; ///< S3_MAX_PART_SIZE
    std::chrono::seconds wal_wait{3600}; ///< how long the stop WAL may take to reach the archive before the backup is given up
    archive::Archive* wal_archive = nullptr; ///< where WAL comes to; nullptr: where the backup goes
};

/// A backup that was stored, sentinel included.
struct PushResult {
    std::string name;
    std::uint64_t plain_bytes = 0, stored_bytes = 0;
    std::uint64_t corrupt_blocks = 0;
    std::uint64_t read_bytes = 0; ///< of the cluster's files
    std::string parent;           ///< of a delta; empty for a full backup
    std::string source;           ///< of a delta: what told which pages changed
};

/// The directory to copy, symlinks resolved: `pgdata`, or the server's if that is empty. Error(refused) when it is not the
/// connected server's, or not of this host.
std::string checked_pgdata(const std::string& pgdata, const pg::ServerFacts& facts);

/// Takes a base backup, full or a delta (choose_parent): parts, pg_control, backup_label, metadata.json, files_metadata.json, and
/// last, when the stop WAL is in the archive, the sentinel. Blocks; for a job's thread, not the I/O thread. On any exception the
/// server has left backup mode, no sentinel was written, and what was stored so far is removed if the storage lets us, else named
/// in the error; the next run removes it.
PushResult backup_push(archive::Archive& archive, const PushOptions& options, Progress& progress, std::stop_token stop);

} // namespace walgd::backup
