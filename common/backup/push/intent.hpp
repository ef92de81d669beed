#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/layout.hpp"
#include "common/pg/server.hpp"

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
    pg::ServerLife server{};                    ///< of which it is taken; an older release told none
};

/// Says that `intent.backup` is being taken. Error(refused) when another host says so too, or the backup exists.
void claim(archive::Archive& archive, const Intent& intent, std::stop_token stop);

/// Removes what the backup has in the storage, unless its sentinel is there, then the intent. What could not be removed is an
/// Error that names it. Gives up after `limit`.
void remove_unfinished(archive::Archive& archive, const Intent& intent, std::chrono::seconds limit);

/// The backup exists now: its intent goes. A failure is only logged; the next run removes it.
void release(archive::Archive& archive, const Intent& intent);

/// Whether `intent` is of a backup that cannot be under way, where none is of `own`'s server: of the same host and data
/// directory, which standbys in containers and clones may have in common, and begun in this life of the server or before it.
bool is_leftover(const Intent& intent, const Intent& own);

/// Removes what killed runs left, by is_leftover(); says so, and names what others left. To be called when no other backup of
/// `own`'s server can be running; of `own` the backup's name is of no matter.
void remove_leftovers(archive::Archive& archive, const Intent& own, std::stop_token stop);

} // namespace walgd::backup
