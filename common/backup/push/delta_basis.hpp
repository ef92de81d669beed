#pragma once
#include "common/backup/push/change_source.hpp"
#include "common/backup/push/delta_files.hpp"
#include "common/backup/push/delta_parent.hpp"
#include "common/backup/push/parts.hpp"

#include <memory>
#include <optional>
#include <string>

namespace walgd::backup {

/// What a delta backup is made on: its parent, the parent's files, and what changed since. Or, of a catchup backup, the place in
/// the WAL up to which a standby has replayed. Lives as long as the copy.
class DeltaBasis {
public:
    /// Before the server starts the backup: the parent, proved, and the list of its files. nullptr: the backup is a full one;
    /// why, the log tells.
    static std::unique_ptr<DeltaBasis> choose(archive::Archive& archive, const DeltaWish& wish, const pg::ServerFacts& facts,
                                              const std::string& pgdata, std::stop_token stop);
    /// Of a catchup backup for a standby that has all changes before `from` on its disk, or before the server's last checkpoint.
    static std::unique_ptr<DeltaBasis> for_standby(archive::Archive& archive, const DeltaWish& wish, pg::Lsn from,
                                                   const pg::ServerFacts& facts, const std::string& pgdata, std::stop_token stop);

    /// The server started the backup: finds out what changed since the parent. False, with the reason in the log: it must be a
    /// full one. Error(refused) when the parent, or the standby's place, is of the server's future.
    bool begin(pg::Server& server, const pg::BackupStart& start, std::uint64_t cluster_bytes);

    /// The parent's name; empty without one.
    std::string parent_name() const { return parent_ ? parent_->name() : std::string(); }
    /// For the sentinel.
    archive::DeltaOrigin origin() const;
    /// "_D_" and the parent's own start segment; nothing without one.
    std::string name_suffix() const;
    /// Error(refused) when a backup of the parent's chain was deleted meanwhile.
    void confirm() const;
    /// The parent's chain becomes permanent, for this delta will be.
    void make_permanent() const;
    DeltaFiles& files() { return *rules_; }
    /// What told which pages changed.
    const std::string& source() const { return source_; }
    /// A word on what the copy read and left out.
    void tell(const PartsResult& copied) const;

private:
    DeltaBasis(archive::Archive& archive, const DeltaWish& wish, pg::Lsn from, const pg::ServerFacts& facts, std::string pgdata,
               std::stop_token stop);

    std::string reason_to_be_full(const pg::BackupStart& start, pg::TimelineHistory& history) const;
    void require_past(const pg::BackupStart& start) const;
    std::optional<Time> databases_since() const;
    void find_changes(pg::Server& server, const ChangeRange& range, std::uint64_t cluster_bytes);

    archive::Archive& archive_;
    DeltaWish::Source wish_;
    bool use_maps_;
    pg::Lsn asked_, from_;              ///< what was named, and since where changes are taken: not after it
    std::optional<DeltaParent> parent_; ///< nothing: a catchup backup
    ParentFiles parent_files_;
    pg::ServerFacts facts_;
    std::string pgdata_;
    std::stop_token stop_;
    std::optional<pg::BlockChanges> changes_;
    std::unique_ptr<DeltaFiles> rules_;
    std::string source_;
};

} // namespace walgd::backup
