#pragma once
#include "common/pgbackrest/manifest.hpp"
#include "common/storage/storage.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace walgd::pgbackrest {

/// A stretch of one object that is read in one request, and the files in it.
struct StoredRun {
    std::size_t first = 0, count = 0; ///< in RestoreRuns::order
    std::uint64_t offset = 0, bytes = 0;
    bool whole = true; ///< the object is that one file
};

/// How a backup's files are read: bundles in stretches, so that many small files cost few requests.
struct RestoreRuns {
    std::vector<std::uint32_t> order; ///< indexes of files
    std::vector<StoredRun> runs;
    std::vector<std::uint32_t> empty; ///< files for which nothing is read
};

/// tablespace_map is left out: the links are made by the restore, and PostgreSQL would make them anew to where they led before.
RestoreRuns plan_runs(const Manifest& manifest);

/// The object of a run.
storage::ObjectKey key_of(const Manifest& manifest, const ManifestFile& file, const std::string& stanza);

/// A manifest's name as a path in the data directory: "pg_data/base/1" is "base/1", "pg_tblspc/16384/x" stays. Error(corrupt) for
/// what is in neither.
std::string member_of(const std::string& name);

} // namespace walgd::pgbackrest
