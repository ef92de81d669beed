#pragma once
#include "common/archive/archive.hpp"
#include "common/backup/progress.hpp"

#include <functional>
#include <stop_token>
#include <string>

namespace walgd::backup {

/// What is restored, and onto what.
struct FetchOptions {
    std::string destination;       ///< absent or empty folder; a symlink to one is followed
    std::string backup = "LATEST"; ///< name or LATEST
    std::string user_data;         ///< JSON: the one backup that has it, instead of `backup`; empty: not used
    std::string restore_spec;      ///< text of a tablespace spec (JSON); empty: the sentinel's
    std::string mask;              ///< only files that match this pattern (glob_match); the result may not start. Empty: all
    std::string restore_only;      ///< databases and tables (DatabaseFilter); empty: all
    bool in_place = false;   ///< the destination is a stopped cluster of the same system: what differs is rewritten, what the
                             ///< backup does not know is removed
    bool catchup = false;    ///< the destination is a stopped standby that `backup`, one of catchup-push, was made for
    unsigned downloads = 10; ///< WALG_DOWNLOAD_CONCURRENCY: tars at once
    bool fsync = true;       ///< WALG_TAR_DISABLE_FSYNC
    std::function<void()> last_step; ///< what else the folder needs, when all files are in it, and before PostgreSQL may start
                                     ///< in it: write_recovery_settings(). Run again after an interruption. Empty: nothing

    bool onto_cluster() const { return in_place || catchup; }
};

/// What was written.
struct FetchResult {
    std::string name;
    std::uint64_t files = 0, bytes = 0;
};

/// Restores a backup, of walgd or of WAL-G, with the chain that it is based on: newest backup first, so that every page is
/// written once. Refuses, before a byte is written, a folder that holds anything else than an unfinished try of the same restore,
/// too little space, a chain that is not whole. Blocks; for a job's thread. pg_control gets its name last, so an interrupted
/// restore leaves a folder that PostgreSQL will not start; the same call goes on where it was.
FetchResult backup_fetch(archive::Archive& archive, const FetchOptions& options, Progress& progress, std::stop_token stop);

} // namespace walgd::backup
