#include "common/archive/retention/leftover_folders.hpp"

#include "common/archive/layout.hpp"

#include <algorithm>

namespace walgd::archive {

BackupFolders::BackupFolders(const Inventory& inventory) : taken_(inventory.taken) {
    for (const auto& object : inventory.backup_objects) {
        const auto name = backup_of_data_object(object.key.path());
        if (name.empty()) continue;
        auto& times = folders_.try_emplace(name, Times{object.modified, object.modified, {}, {}}).first->second;
        times.oldest = std::min(times.oldest, object.modified);
        times.youngest = std::max(times.youngest, object.modified);
        const std::string_view path = object.key.path();
        if (path == metadata_key(name).path()) times.metadata = object.modified;
        if (path.substr(backup_folder.size() + name.size()).starts_with("/tar_partitions/"))
            times.youngest_part = std::max(times.youngest_part.value_or(object.modified), object.modified);
    }
    // A backup says that it begins before its first part is complete.
    for (const auto& [backup, modified] : inventory.intents) {
        auto& times = folders_.try_emplace(backup, Times{modified, modified, {}, {}}).first->second;
        times.oldest = std::min(times.oldest, modified);
        times.youngest = std::max(times.youngest, modified);
    }
    for (const auto& backup : inventory.backups) {
        const auto folder = folders_.find(backup.name);
        if (folder == folders_.end()) continue;
        latest_begun_ = std::max(latest_begun_.value_or(folder->second.oldest), folder->second.oldest);
    }
}

std::vector<std::string_view> BackupFolders::names() const {
    std::vector<std::string_view> names;
    for (const auto& [name, times] : folders_) names.push_back(name);
    return names;
}

bool BackupFolders::abandoned(std::string_view name) const {
    const auto& times = folders_.at(name);
    if (times.youngest + leftover_age <= taken_) return true;
    return all_but_sentinel(times) && latest_begun_ && times.youngest < *latest_begun_;
}

/// backup-push, WAL-G's too, puts metadata.json behind the last part. What is being copied may have it before.
bool BackupFolders::all_but_sentinel(const Times& times) {
    return times.metadata && times.youngest_part && *times.youngest_part <= *times.metadata;
}

} // namespace walgd::archive
