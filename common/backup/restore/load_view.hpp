#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/documents.hpp"
#include "common/archive/retention/retention_inventory.hpp"
#include "common/backup/restore/moment_plan.hpp"

#include <map>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

namespace walgd::backup {

/// The archive as a restore plans with it. Blocks; for a job's thread.
struct LoadedView {
    ArchiveView view;
    std::optional<pg::SystemIdentifier> system; ///< nothing: the archive is empty
    std::map<std::string, archive::Sentinel> sentinels;
    std::vector<std::pair<pg::Segment, std::uint64_t>> stored_bytes; ///< of each segment's object, sorted; of more than one each
};
/// Lists backups, WAL and index. Backups of another system, and those whose sentinel cannot be read, are left out and logged.
/// `wal_objects`: what is under wal_005/, where it has been listed.
LoadedView load_view(archive::Archive& archive, std::stop_token stop,
                     const std::vector<archive::HeldObject>* wal_objects = nullptr);

} // namespace walgd::backup
