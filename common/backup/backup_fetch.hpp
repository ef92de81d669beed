#pragma once
#include "common/archive/archive.hpp"
#include "common/backup/progress.hpp"

#include <stop_token>
#include <string>

namespace walgd::backup {

struct FetchOptions {
    std::string destination;       ///< absent or empty folder; a symlink to one is followed
    std::string backup = "LATEST"; ///< name or LATEST
    std::string restore_spec;      ///< text of a tablespace spec (JSON); empty: the sentinel's, only where base_prefix is the
                                   ///< destination, else links are made inside the destination
    unsigned downloads = 10;       ///< WALG_DOWNLOAD_CONCURRENCY: tars at once
    bool fsync = true;             ///< WALG_TAR_DISABLE_FSYNC
};

struct FetchResult {
    std::string name;
    std::uint64_t files = 0, bytes = 0;
};

/// Restores a full backup, of walgd or of WAL-G. Refuses, before a byte is written, a folder that holds anything, too little
/// space, a backup that is a delta. Blocks; for a job's thread. pg_control is written last, so an interrupted restore leaves a
/// folder that PostgreSQL will not start.
FetchResult backup_fetch(archive::Archive& archive, const FetchOptions& options, Progress& progress, std::stop_token stop);

} // namespace walgd::backup
