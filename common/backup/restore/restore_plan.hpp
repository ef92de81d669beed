#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/backup_chain.hpp"
#include "common/archive/layout.hpp"
#include "common/backup/restore/database_filter.hpp"
#include "common/backup/restore/restore_files.hpp"
#include "common/backup/tar_fetch.hpp"
#include "common/pg/control_file.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace walgd::backup {

struct FetchOptions;

/// Where a backup's tablespaces come to be: as the restore spec tells, else where they were. Error(refused) where the spec leaves
/// one of them out, or tells of one that the backup has not: PostgreSQL would not start on that.
std::optional<archive::TablespaceSpec> places_of_tablespaces(const archive::Sentinel& sentinel, const std::string& restore_spec);

/// One backup of the chain, and its tars.
struct PlannedLink {
    archive::ChainLink backup;
    std::vector<TarObject> parts; ///< first, in any order, largest first; those that are not listed behind all others
    bool has_metadata = false;
};

/// What is fetched, in which order, decided before a byte is written.
struct RestorePlan {
    explicit RestorePlan(std::size_t links) : files(links) {}

    std::vector<PlannedLink> chain; ///< newest first
    std::vector<TarObject> finals;  ///< of the newest: pg_control and backup_label, after all parts
    std::optional<archive::TablespaceSpec> spec;
    bool spec_given = false;               ///< by --restore-spec
    bool leave_out_tablespace_map = false; ///< the links are where the restore makes them, not where the backup had them
    std::string mask;                      ///< --mask; empty: none
    std::unique_ptr<DatabaseFilter> databases;
    std::uint32_t block_bytes = 8192;
    std::optional<pg::SystemIdentifier> system;
    std::optional<pg::ControlFile> control; ///< of the newest, where the cluster's own word is needed
    bool catchup = false;                   ///< the one link is a catchup backup, and what it is based on a standby's files
    RestoreFiles files;

    /// Of the storage, where the backups are.
    std::string_view folder() const { return catchup ? archive::catchup_folder : archive::backup_folder; }
    const std::string& name() const { return chain.front().backup.backup; }
    const archive::Sentinel& sentinel() const { return chain.front().backup.sentinel; }
    /// By the options; `relative` to the data directory.
    bool wants(std::string_view relative) const;
    /// Some of the files are left out.
    bool is_selective() const { return !mask.empty() || databases != nullptr; }
    /// Bytes of the restored files, as far as the sentinels tell; 0: not known.
    std::uint64_t bytes() const;
    /// What the file systems must have room for.
    std::uint64_t space_bytes() const;
    std::uint64_t stored_bytes() const;
    /// One text for everything that decides what the restored folder holds.
    std::string identity(const FetchOptions& options) const;
};

/// The chain and its objects. Error(refused) for an unknown backup; Error(corrupt) where links or objects are missing or of a
/// format that nobody knows.
std::unique_ptr<RestorePlan> plan_objects(archive::Archive& archive, const FetchOptions& options, const std::stop_token& stop);

/// Reads the files metadata of all links into plan.files, drops the parts that nothing is needed of; `on_name` is told of every
/// wanted file. Error(corrupt) for contradictions.
void plan_files(archive::Archive& archive, RestorePlan& plan, const std::function<void(std::string_view relative)>& on_name,
                const std::stop_token& stop);

/// Every wanted file was in some tar; else Error(corrupt) names the first ones.
void require_complete(archive::Archive& archive, const RestorePlan& plan);

} // namespace walgd::backup
