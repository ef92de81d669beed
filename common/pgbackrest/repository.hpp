#pragma once
#include "common/archive/archive.hpp"
#include "common/pgbackrest/info.hpp"
#include "common/pgbackrest/manifest.hpp"

#include <string>
#include <vector>

namespace walgd::pgbackrest {

/// One stanza of a repository that pgBackRest wrote. Only read; no key of ours applies to it. On the I/O thread. Where an info
/// file or a manifest is missing or damaged, its .copy is read, with a warning in the log.
class Repository {
public:
    /// Error(misconfigured) for what can be no stanza's name. `archive`'s storage has the repository's root as its prefix.
    Repository(const archive::Archive& archive, std::string stanza);

    archive::Archive& archive() { return archive_; }
    const std::string& stanza() const { return stanza_; }

    /// By the time they ended. Error(misconfigured), naming the stanzas that are there, when this one is not.
    awaitable<std::vector<BackupInfo>> backups();
    /// The newest, or the one called so; Error(refused) when there is none.
    awaitable<BackupInfo> find_backup(std::string label_or_latest);
    awaitable<Manifest> manifest(std::string label, ManifestReader::Files files);
    /// The folder of the WAL that the stanza archives now, "archive/main/15-1/". As backups(), where the stanza is not there.
    awaitable<std::string> wal_folder();

private:
    [[noreturn]] void refuse_absent(const storage::ObjectKey& key, const std::vector<std::string>& stanzas) const;
    awaitable<std::vector<std::string>> stanzas(std::string folder);

    archive::Archive archive_;
    std::string stanza_;
    std::optional<std::string> wal_folder_; ///< once it was read
};

} // namespace walgd::pgbackrest
