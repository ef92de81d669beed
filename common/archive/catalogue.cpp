#include "common/archive/catalogue.hpp"

#include "common/base/run_all.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace walgd::archive {

namespace {

/// Sentinel and metadata are a few hundred bytes; user data and old sentinels with file lists make them larger.
/// What the commands of a folder begin with: "backup-list", "catchup-list".
std::string_view word_of(std::string_view folder) { return folder == catchup_folder ? "catchup" : "backup"; }

} // namespace

awaitable<std::vector<BackupEntry>> list_backups(storage::Storage& storage, std::string_view folder) {
    const auto page = co_await storage::list_all(storage, std::string(folder), false);
    std::vector<BackupEntry> backups;
    for (const auto& object : page.objects) {
        const auto& path = object.key.path();
        const auto name = backup_of_sentinel(std::string_view(path).substr(path.rfind('/') + 1));
        if (name.empty()) continue;
        auto wal_file = std::string(first_segment_in(name));
        if (wal_file.empty()) wal_file = std::string(24, 'Z');
        BackupEntry entry;
        entry.name = name;
        entry.modified = object.modified;
        entry.wal_file = std::move(wal_file);
        backups.push_back(std::move(entry));
    }
    std::ranges::sort(backups, [](const BackupEntry& a, const BackupEntry& b) {
        return std::tie(a.modified, a.name) < std::tie(b.modified, b.name);
    });
    co_return backups;
}

void leave_out_ended_since(const std::vector<BackupEntry>& before, std::vector<storage::ObjectInfo>& objects) {
    std::set<std::string_view> ended;
    for (const auto& backup : before) ended.insert(backup.name);
    std::erase_if(objects, [&](const storage::ObjectInfo& object) {
        const std::string_view path = object.key.path();
        if (!path.starts_with(backup_folder)) return false;
        const auto name = backup_of_sentinel(path.substr(backup_folder.size()));
        return !name.empty() && !ended.contains(name);
    });
}

namespace {

std::optional<BackupEntry> found_in(const std::vector<BackupEntry>& backups, const std::string& name_or_latest) {
    if (backups.empty()) return std::nullopt;
    if (name_or_latest == "LATEST") return backups.back();
    const auto found = std::ranges::find(backups, name_or_latest, &BackupEntry::name);
    return found == backups.end() ? std::nullopt : std::optional(*found);
}

} // namespace

awaitable<BackupEntry> find_backup(storage::Storage& storage, std::string name_or_latest, std::string_view folder) {
    auto& answering = storage.answering();
    const auto near = co_await list_backups(answering, folder);
    auto found = found_in(near, name_or_latest);
    if (!found && &answering != &storage) {
        // It may be in one that does not answer: that is no "does not exist".
        const auto all = co_await list_backups(storage, folder);
        found = found_in(all, name_or_latest);
    }
    if (found) co_return *found;
    if (name_or_latest == "LATEST")
        throw Error(ErrorKind::refused, "No backups found",
                    fmt::format("is {} the right archive? Take one with: walg {}-push", storage.describe(), word_of(folder)));
    throw Error(ErrorKind::refused, fmt::format("Backup '{}' does not exist.", name_or_latest),
                fmt::format("walg {}-list shows those of {}", word_of(folder), storage.describe()));
}

awaitable<BackupEntry> find_backup_by_user_data(storage::Storage& storage, std::string user_data) {
    const auto wanted = normalized_user_data(user_data);
    const auto backups = co_await list_backups(storage);
    std::vector<BackupEntry> found;
    for (const auto& backup : backups) {
        const auto metadata = co_await read_metadata(storage, backup.name);
        if (metadata && metadata->user_data == wanted) found.push_back(backup);
    }
    if (found.empty())
        throw Error(ErrorKind::refused, fmt::format("No backups found with the user data {}", wanted),
                    "walg backup-list --json --detail shows what each backup has; it is compared as a whole");
    if (found.size() > 1)
        throw Error(ErrorKind::refused,
                    fmt::format("{} backups have the user data {}: {} and {}{}", found.size(), wanted, found[0].name,
                                found[1].name, found.size() > 2 ? " ..." : ""),
                    "name one of them instead");
    co_return found.front();
}

awaitable<Sentinel> read_sentinel(storage::Storage& storage, std::string backup, std::string_view folder) {
    const auto key = sentinel_key(backup, folder);
    const auto blob = co_await storage::get_whole(storage, key, document_bytes_max);
    if (!blob)
        throw Error(ErrorKind::corrupt, fmt::format("{} is not there any more", key.path()), "was the backup deleted meanwhile?");
    auto sentinel = parse_sentinel(text_of(blob->view()), key.path());
    if (valid_backup_name(backup) && backup.find(delta_mark) != std::string::npos && !sentinel.delta)
        throw Error(ErrorKind::corrupt,
                    fmt::format("{} does not tell what its backup is based on, which is a delta by its name", key.path()),
                    "restore the object from a copy, or another backup: walg backup-list");
    co_return sentinel;
}

awaitable<std::optional<BackupMetadata>> read_metadata(storage::Storage& storage, std::string backup, std::string_view folder) {
    const auto key = metadata_key(backup, folder);
    const auto blob = co_await storage::get_whole(storage, key, document_bytes_max);
    if (!blob) co_return std::nullopt;
    co_return parse_metadata(text_of(blob->view()), key.path());
}

namespace {

BackupMetadata of_sentinel(const Sentinel& sentinel) {
    BackupMetadata metadata;
    metadata.start_time = sentinel.start_time;
    metadata.finish_time = sentinel.finish_time;
    metadata.hostname = sentinel.hostname;
    metadata.data_dir = sentinel.data_dir;
    metadata.pg_version = sentinel.pg_version;
    metadata.start_lsn = sentinel.start_lsn;
    metadata.finish_lsn = sentinel.finish_lsn;
    metadata.is_permanent = sentinel.is_permanent;
    metadata.system = sentinel.system;
    metadata.uncompressed_bytes = sentinel.uncompressed_bytes;
    metadata.compressed_bytes = sentinel.compressed_bytes;
    metadata.user_data = sentinel.user_data;
    return metadata;
}

/// Nothing when it went well; an answer that is worth nothing as its text.
template <class Read> awaitable<std::string> trouble_of(Read read) {
    try {
        co_await read();
        co_return std::string();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        co_return std::string(error.what());
    }
}

awaitable<void> read_one(storage::Storage& storage, BackupDetails& backup, std::string_view folder) {
    auto from_metadata = [&]() -> awaitable<void> {
        auto metadata = co_await read_metadata(storage, backup.entry.name, folder);
        if (!metadata) throw Error(ErrorKind::corrupt, metadata_key(backup.entry.name, folder).path() + " is not there");
        backup.metadata = std::move(*metadata);
    };
    backup.trouble = co_await trouble_of(from_metadata);
    if (backup.trouble.empty()) co_return;
    auto from_sentinel = [&]() -> awaitable<void> {
        const auto sentinel = co_await read_sentinel(storage, backup.entry.name, folder);
        backup.metadata = of_sentinel(sentinel);
    };
    const auto second = co_await trouble_of(from_sentinel);
    if (!second.empty()) backup.trouble += "; " + second;
}

} // namespace

awaitable<std::vector<BackupDetails>> read_details(storage::Storage& storage, std::vector<BackupEntry> backups, unsigned at_once,
                                                   std::string_view folder) {
    std::vector<BackupDetails> details;
    for (auto& entry : backups) details.push_back({std::move(entry), {}, {}});
    std::size_t next = 0;
    auto worker = [&]() -> awaitable<void> {
        while (next < details.size()) {
            auto& backup = details[next++];
            co_await read_one(storage, backup, folder);
        }
    };
    std::vector<awaitable<void>> workers;
    for (unsigned index = 0; index < std::max(1U, at_once); ++index) workers.push_back(worker());
    co_await run_all(std::move(workers));
    co_return details;
}

} // namespace walgd::archive
