#pragma once
#include "common/storage/storage.hpp"

#include <set>
#include <string>

/// What retention left on purpose: backups that have the WAL of their own and no more, for a week's or a month's sake, or because
/// another one is based on them. Who looks for lost WAL tells a gap behind these from one that nobody made.
namespace walgd::archive {

/// "walgd_005/kept_alone.json".
storage::ObjectKey kept_alone_key();

/// The names, of backups that are gone too. None where there is no record; Error(corrupt) for one that cannot be read.
awaitable<std::set<std::string>> read_kept_alone(storage::Storage& storage);

/// Adds `names` to the record, which it keeps for those of `held` alone: the backups that there are. A damaged record is made
/// anew.
awaitable<void> note_kept_alone(storage::Storage& storage, std::set<std::string> names, std::set<std::string> held);

} // namespace walgd::archive
