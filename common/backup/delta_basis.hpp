#pragma once
#include "common/backup/change_source.hpp"
#include "common/backup/delta_files.hpp"
#include "common/backup/delta_parent.hpp"
#include "common/backup/parts.hpp"

#include <memory>
#include <optional>
#include <string>

namespace walgd::backup {

/// What a delta backup is made on: its parent, the parent's files, and what changed since. Lives as long as the copy.
class DeltaBasis {
public:
    /// Before the server starts the backup: the parent, proved, and the list of its files. nullptr: the backup is a full one;
    /// why, the log tells.
    static std::unique_ptr<DeltaBasis> choose(archive::Archive& archive, const DeltaWish& wish, const pg::ServerFacts& facts,
                                              const std::string& pgdata, std::stop_token stop);

    /// The server started the backup: finds out what changed since the parent. False, with the reason in the log: it must be a
    /// full one. Error(refused) when the parent is of the server's future.
    bool begin(pg::Server& server, const pg::BackupStart& start, std::uint64_t cluster_bytes);

    const DeltaParent& parent() const { return parent_; }
    /// "_D_" and the parent's own start segment.
    std::string name_suffix() const;
    DeltaFiles& files() { return *rules_; }
    /// What told which pages changed.
    const std::string& source() const { return source_; }
    /// A word on what the copy read and left out.
    void tell(const PartsResult& copied) const;

private:
    DeltaBasis(archive::Archive& archive, const DeltaWish& wish, DeltaParent parent, ParentFiles files,
               const pg::ServerFacts& facts, std::string pgdata, std::stop_token stop);

    void find_changes(pg::Server& server, const ChangeRange& range, std::uint64_t cluster_bytes);

    archive::Archive& archive_;
    DeltaWish::Source wish_;
    bool use_maps_;
    DeltaParent parent_;
    ParentFiles parent_files_;
    pg::ServerFacts facts_;
    std::string pgdata_;
    std::stop_token stop_;
    std::optional<pg::BlockChanges> changes_;
    std::unique_ptr<DeltaFiles> rules_;
    std::string source_;
};

} // namespace walgd::backup
