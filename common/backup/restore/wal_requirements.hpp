#pragma once
#include "common/archive/documents.hpp"
#include "common/archive/wal/wal_note.hpp"

#include <optional>
#include <string>
#include <vector>

/// What the WAL asks of the host and of the configuration that it is replayed on, looked at before PostgreSQL meets it.
namespace walgd::backup {

using Requirements = std::vector<archive::NotedRequirement>;

/// What check_later_tablespaces() looks at.
struct LaterTablespaces {
    /// The places of the backup's own tablespaces, which are looked at elsewhere.
    std::optional<archive::TablespaceSpec> restored;
    std::string pgdata;    ///< the folder that is restored into
    int major = 0;         ///< of the server
    pg::Lsn consistent{0}; ///< where the backup ends: recovery cannot stop before
};
/// Tablespaces that recovery makes on its way come to be where the WAL says, whatever a restore spec says. Error(refused) where
/// such a folder is another cluster's, or PostgreSQL could not use it. Returns the folders, without those of `restored`.
std::vector<std::string> check_later_tablespaces(const Requirements& requirements, const LaterTablespaces& where);
/// Makes those that are not there, for the owner of `pgdata`.
void make_tablespace_folders(const std::vector<std::string>& folders, const std::string& pgdata);

/// Settings that the WAL asks for at a higher value than the server had when the backup began: with lower ones a hot standby ends
/// its recovery, or pauses, where they were raised. Texts for people.
std::vector<std::string> raised_settings(const Requirements& requirements, const pg::StandbySettings& before);

} // namespace walgd::backup
