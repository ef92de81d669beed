#pragma once
#include "common/archive/retention/retention_inventory.hpp"

namespace walgd::archive {

/// The backups whose mark has to change so that `name` is permanent (with all that it is based on) or not permanent (itself).
/// Error(refused) when there is none of that name, or a permanent backup is based on it.
std::vector<std::string> backups_to_mark(const Inventory& inventory, const std::string& name, bool permanent);

/// Writes the mark into the backup's metadata.json; everything else of the document stays. Error(corrupt) when it is not there.
awaitable<void> write_mark(storage::Storage& storage, std::string backup, bool permanent);

} // namespace walgd::archive
