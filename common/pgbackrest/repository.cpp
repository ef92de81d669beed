#include "common/pgbackrest/repository.hpp"

#include "common/pgbackrest/layout.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace walgd::pgbackrest {

namespace {

/// Hands the object to `reader`, a piece at a time. False: the storage answered that it is not there.
template <class Reader> awaitable<bool> read_object(archive::Archive& archive, storage::ObjectKey key, Reader& reader) {
    const auto object = co_await archive.storage.get(key, storage::ByteRange{});
    if (!object) co_return false;
    Blob chunk(storage::read_chunk_bytes);
    for (;;) {
        const auto count = co_await object->read({chunk.data(), chunk.capacity()});
        if (count == 0) co_return true;
        auto parse = [&reader, &chunk, count] { reader->write(text_of({chunk.data(), count})); };
        co_await run_on(archive.cpu, std::move(parse));
    }
}

/// What the reader that `make` makes for an object makes of it; nothing: the object is not there.
template <class Make> auto read_one(archive::Archive& archive, storage::ObjectKey key, Make make)
    -> awaitable<std::optional<decltype(make(std::string())->finish())>> {
    auto reader = make(fmt::format("{} in {}", key.path(), archive.storage.describe()));
    const bool there = co_await read_object(archive, key, reader);
    if (!there) co_return std::nullopt;
    co_return reader->finish();
}

/// The object, or else its copy; nothing: neither is there.
template <class Make> auto read_either(archive::Archive& archive, storage::ObjectKey key, Make make)
    -> awaitable<std::optional<decltype(make(std::string())->finish())>> {
    const storage::ObjectKey copy(key.path() + std::string(copy_suffix));
    std::optional<Error> damage;
    std::optional<decltype(make(std::string())->finish())> found;
    try {
        found = co_await read_one(archive, key, make);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        damage = error;
    }
    if (found) co_return found;
    found = co_await read_one(archive, copy, make);
    if (!found && damage) throw *damage;
    if (found) archive.log.warn("{}: its copy is read", damage ? damage->what() : key.path() + " is missing");
    co_return found;
}

} // namespace

Repository::Repository(const archive::Archive& archive, std::string stanza) : archive_(archive), stanza_(std::move(stanza)) {
    check_stanza(stanza_);
    archive_.packing.cipher = nullptr;
}

awaitable<std::vector<std::string>> Repository::stanzas(std::string folder) {
    const auto page = co_await storage::list_all(archive_.storage, folder, false);
    std::vector<std::string> names;
    for (const auto& path : page.folders) names.push_back(path.substr(folder.size(), path.size() - folder.size() - 1));
    co_return names;
}

void Repository::refuse_absent(const storage::ObjectKey& key, const std::vector<std::string>& stanzas) const {
    const auto where = archive_.storage.describe();
    if (stanzas.empty())
        throw Error(ErrorKind::misconfigured, fmt::format("{} has no pgBackRest repository: there is no {}", where, key.path()),
                    "the prefix must be the repository's root, which repo1-path of pgBackRest names");
    if (std::ranges::find(stanzas, stanza_) != stanzas.end())
        throw Error(ErrorKind::corrupt, fmt::format("stanza '{}' in {} has no {}", stanza_, where, key.path()),
                    "pgBackRest makes it with stanza-create, or with the first backup");
    throw Error(ErrorKind::misconfigured,
                fmt::format("there is no stanza '{}' in {}: it has {}", stanza_, where, fmt::join(stanzas, ", ")),
                "name one of these in PGBACKREST_STANZA");
}

awaitable<std::vector<BackupInfo>> Repository::backups() {
    const auto key = backup_info_key(stanza_);
    auto make = [](std::string object) { return std::make_unique<BackupInfoReader>(std::move(object)); };
    auto backups = co_await read_either(archive_, key, make);
    if (backups) co_return std::move(*backups);
    const auto there = co_await stanzas(std::string(backup_folder));
    refuse_absent(key, there);
}

awaitable<BackupInfo> Repository::find_backup(std::string label_or_latest) {
    const auto all = co_await backups();
    if (all.empty()) throw Error(ErrorKind::refused, "No backups found", fmt::format("stanza {} has none", stanza_));
    if (label_or_latest == "LATEST") co_return all.back();
    const auto found = std::ranges::find(all, label_or_latest, &BackupInfo::label);
    if (found == all.end())
        throw Error(ErrorKind::refused, fmt::format("Backup '{}' does not exist.", label_or_latest),
                    "pgbackrest backup-list shows the names");
    co_return *found;
}

awaitable<Manifest> Repository::manifest(std::string label, ManifestReader::Files files) {
    const auto key = manifest_key(stanza_, label);
    auto make = [files](std::string object) { return std::make_unique<ManifestReader>(std::move(object), files); };
    auto manifest = co_await read_either(archive_, key, make);
    if (!manifest)
        throw Error(ErrorKind::corrupt, fmt::format("{} is not in {}", key.path(), archive_.storage.describe()),
                    "the backup is in backup.info, but was not written to its end, or was removed: take another one");
    if (manifest->label != label)
        throw Error(ErrorKind::corrupt, fmt::format("{} is the manifest of {}", key.path(), manifest->label));
    co_return std::move(*manifest);
}

awaitable<std::string> Repository::wal_folder() {
    if (wal_folder_) co_return *wal_folder_;
    const auto key = archive_info_key(stanza_);
    auto make = [](std::string object) { return std::make_unique<ArchiveInfoReader>(std::move(object)); };
    const auto id = co_await read_either(archive_, key, make);
    if (id) {
        wal_folder_ = fmt::format("{}{}/{}/", archive_folder, stanza_, *id);
        co_return *wal_folder_;
    }
    const auto there = co_await stanzas(std::string(archive_folder));
    refuse_absent(key, there);
}

} // namespace walgd::pgbackrest
