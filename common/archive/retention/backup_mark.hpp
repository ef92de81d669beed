#pragma once
#include "common/archive/retention/retention_inventory.hpp"

namespace walgd::archive {

/// What is wrong with other backups keeps none from being protected; whether one is based on a backup only all of them can tell.
inline Unreadable unreadable_for_mark(bool permanent) { return permanent ? Unreadable::noted : Unreadable::stops; }

/// The backups whose mark has to change so that `name` is permanent (with all that it is based on) or not permanent (itself).
/// Error(refused) when there is none of that name, or a permanent backup is based on it; Error(corrupt) when one of those whose
/// sentinel cannot be read may be it, or what it is based on.
std::vector<std::string> backups_to_mark(const Inventory& inventory, const std::string& name, bool permanent);

/// Writes the mark into the backup's metadata.json, of several storages into each one's; everything else of the document stays.
/// Error(corrupt) when it is nowhere; Error(refused) when the backup went meanwhile: deleting looks at the marks just before.
awaitable<void> write_mark(storage::Storage& storage, std::string backup, bool permanent);

} // namespace walgd::archive
