#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/layout.hpp"

#include <chrono>
#include <string>

/// What a backup that is being taken leaves in walgd_005/jobs/, so that a run that was killed can be cleaned up by the next one.
/// No backup depends on it.
namespace walgd::backup {

/// Which backup is being taken, and by whom.
struct Intent {
    std::string backup;
    std::string host, data_dir; ///< whose backup: leftovers are removed only by a run of the same cluster on the same host
    std::string folder{archive::backup_folder}; ///< or catchup_folder
};

/// Says that `intent.backup` is being taken. Error(refused) when another host says so too, or the backup exists.
void claim(archive::Archive& archive, const Intent& intent, std::stop_token stop);

/// Removes what the backup has in the storage, unless its sentinel is there, then the intent. What could not be removed is an
/// Error that names it. Gives up after `limit`.
void remove_unfinished(archive::Archive& archive, const Intent& intent, std::chrono::seconds limit);

/// The backup exists now: its intent goes. A failure is only logged; the next run removes it.
void release(archive::Archive& archive, const Intent& intent);

/// Removes what killed runs of this host and data directory left; says so, and names what others left. To be called when no
/// other backup of this cluster can be running.
void remove_leftovers(archive::Archive& archive, const std::string& host, const std::string& data_dir, std::stop_token stop);

} // namespace walgd::backup
