#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/catalogue.hpp"

#include <optional>
#include <string>
#include <vector>

namespace walgd::backup {

/// One tar of a backup as it lies in the storage.
struct TarObject {
    storage::ObjectKey key;
    std::uint64_t bytes = 0;
    const codec::Compression* compression = nullptr;
};

/// What is fetched, in which order, decided before a byte is written.
struct RestorePlan {
    archive::BackupEntry backup;
    archive::Sentinel sentinel;
    std::vector<TarObject> parts;  ///< first, in any order, largest first
    std::vector<TarObject> finals; ///< pg_control and backup_label: after all parts
    std::optional<archive::TablespaceSpec> spec;
    bool spec_given = false; ///< by --restore-spec: then tablespace_map is left out
};

/// Error(refused) for a delta backup; Error(corrupt) where objects are missing or of a format that nobody knows.
RestorePlan plan_restore(archive::Archive& archive, const std::string& backup, const std::string& restore_spec);

} // namespace walgd::backup
