#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/documents.hpp"
#include "common/archive/layout.hpp"

#include <optional>
#include <string>
#include <vector>

namespace walgd::archive {

/// One backup as the listing shows it: it exists because its sentinel does.
struct BackupEntry {
    std::string name;
    storage::Modified modified{};
    std::string wal_file;            ///< first 24-hex run of the name, else 24 "Z"
    std::string storage = "default"; ///< the name of the one it was listed in, where there are several
};

/// All backups of `folder`, here and below backup_folder or catchup_folder: sentinel's modification time ascending (ties: by
/// name).
awaitable<std::vector<BackupEntry>> list_backups(storage::Storage& storage, std::string_view folder = backup_folder);
/// Takes the sentinels of all backups but those `before` out of a listing of objects: a backup that ended while it was listed may
/// have last objects that are not in it, having come where it had been already.
void leave_out_ended_since(const std::vector<BackupEntry>& before, std::vector<storage::ObjectInfo>& objects);
/// The newest by modification time, or the one called `name`. Error(refused) "No backups found" / "Backup 'x' does not exist."
/// Of several storages it is enough that those answer that have it; the newest is then the newest of those that answer.
awaitable<BackupEntry> find_backup(storage::Storage& storage, std::string name_or_latest,
                                   std::string_view folder = backup_folder);
/// The one backup whose metadata has this user data (JSON, compared as WAL-G does, by value). Error(refused) when none or several
/// have it.
awaitable<BackupEntry> find_backup_by_user_data(storage::Storage& storage, std::string user_data);
/// Error(corrupt) when it is not there or cannot be read.
awaitable<Sentinel> read_sentinel(storage::Storage& storage, std::string backup, std::string_view folder = backup_folder);
/// Nothing if there is no such object.
awaitable<std::optional<BackupMetadata>> read_metadata(storage::Storage& storage, std::string backup,
                                                       std::string_view folder = backup_folder);

/// A backup with what its documents say of it.
struct BackupDetails {
    BackupEntry entry;
    BackupMetadata metadata; ///< of metadata.json; without one, as far as the sentinel tells
    std::string trouble;     ///< why `metadata` is not all of it; empty: it is
};
/// One for each entry, in their order; `at_once` of them are read in parallel. Documents that are missing or damaged are that
/// backup's trouble; a storage that does not answer is an Error.
awaitable<std::vector<BackupDetails>> read_details(storage::Storage& storage, std::vector<BackupEntry> backups, unsigned at_once,
                                                   std::string_view folder = backup_folder);

} // namespace walgd::archive
