#pragma once
#include "common/archive/documents.hpp"
#include "common/storage/storage.hpp"

#include <set>
#include <string>
#include <vector>

// WAL-G's journals: how much WAL the storage took in between one backup and the next, for those who plan how long it can stay.
// They are kept where `backup-push --count-journals` asks for them, and nothing needs them.
namespace walgd::archive {

/// Begins the journal of a backup that has just ended, and counts the WAL that was stored since the one before into that one's.
awaitable<void> add_journal(storage::Storage& storage, std::string backup, Time end);

/// Takes away the journals of backups that are gone; what they counted goes to the backup before. Error(corrupt) naming a journal
/// that cannot be read.
awaitable<void> tidy_journals(storage::Storage& storage);

/// `journals`, by their ends, of these backups alone.
std::vector<Journal> journals_of(const std::vector<Journal>& journals, const std::set<std::string>& backups);

} // namespace walgd::archive
