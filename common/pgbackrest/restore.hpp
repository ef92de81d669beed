#pragma once
#include "common/backup/progress.hpp"
#include "common/pgbackrest/repository.hpp"

#include <stop_token>
#include <string>

namespace walgd::pgbackrest {

/// What is restored, and where to.
struct RestoreOptions {
    std::string destination;       ///< absent or empty folder; a symlink to one is followed
    std::string backup = "LATEST"; ///< label or LATEST
    std::string restore_spec;      ///< text of a tablespace spec (JSON): where tablespaces go; empty: where they were
    unsigned downloads = 10;       ///< WALG_DOWNLOAD_CONCURRENCY: objects at once
    bool fsync = true;             ///< WALG_TAR_DISABLE_FSYNC
};

/// What was written.
struct RestoreResult {
    std::string label;
    std::uint64_t files = 0, bytes = 0;
};

/// Restores a backup with what it takes from earlier ones. Refuses, before a byte is written, a folder or tablespace's place that
/// is not empty, too little space, and what is not read here. Every file is checked against the manifest. Blocks; for a job's
/// thread. pg_control is written last, so an interrupted restore leaves a folder that PostgreSQL will not start. Links other than
/// tablespaces become what they led to.
RestoreResult restore(Repository& repository, const RestoreOptions& options, backup::Progress& progress, std::stop_token stop);

} // namespace walgd::pgbackrest
