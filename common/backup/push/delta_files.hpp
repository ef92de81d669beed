#pragma once
#include "common/backup/pgdata_walk.hpp"
#include "common/backup/push/parent_files.hpp"
#include "common/pg/block_changes.hpp"
#include "common/pg/lsn.hpp"
#include "common/pg/page.hpp"

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace walgd::backup {

/// Where a file of a relation's main fork belongs.
struct RelationPlace {
    pg::RelationId relation;
    std::uint32_t segment = 0;
    std::string_view folder; ///< "/base/5", within the member's name
};
/// Nothing for all but main forks in "/base/<oid>" and "/pg_tblspc/<oid>/PG_.../<oid>".
std::optional<RelationPlace> relation_place(std::string_view member);

/// How a delta takes each file (walg-format.md, 4.2): like its parent, by the pages that changed, or whole. Used by several
/// threads.
class DeltaFiles {
public:
    struct Options {
        std::string pgdata;
        pg::Lsn parent_start{0}; ///< pages that were changed since are in the delta
        std::uint32_t block_bytes = 8192;
        std::uint64_t relation_file_bytes = pg::relation_file_bytes;
        bool hint_bits_logged = false; ///< the cluster has checksums, and had them for the parent
        /// There is no parent, but a standby that replayed the WAL up to parent_start: every file goes, relations by their pages.
        bool for_standby = false;
        /// For a standby, where pages tell by their LSN: databases that were made since are whole, for CREATE DATABASE may have
        /// copied files with pages of any age. Nothing: no file is copied so.
        std::optional<Time> databases_since{};
    };
    /// `changes` from the parent's start to this backup's; nullptr: pages tell by their LSN. Both are kept by reference.
    DeltaFiles(Options options, const ParentFiles& files, const pg::BlockChanges* changes);

    enum class Way {
        whole,
        skip,  ///< not written since the parent was made
        pages, ///< only those that changed
    };
    Way way(const WalkedEntry& entry);

    bool has_changes() const { return changes_ != nullptr; }
    /// The blocks of the file that belong into the increment, by the changes; nothing: all of them.
    std::optional<std::vector<std::uint32_t>> changed_blocks(const WalkedEntry& entry) const;
    pg::Lsn parent_start() const { return options_.parent_start; }
    /// Pages of the relation may have become all-visible without a new LSN: its visibility map was written, and the cluster does
    /// not log hint bits. A map that says more than the pages do would make queries wrong.
    bool may_be_visible_unlogged(const WalkedEntry& entry) const;

private:
    bool paged(const WalkedEntry& entry) const;
    bool database_replaced(const WalkedEntry& entry, std::string_view folder);
    bool unchanged(const std::string& path, const std::string& member) const;
    bool made_since_cluster(const std::string& path) const;

    Options options_;
    const ParentFiles& files_;
    const pg::BlockChanges* changes_;
    bool same_cluster_files_; ///< the data directory was not restored, or copied, since the parent was made
    std::mutex mutex_;
    std::map<std::string, bool, std::less<>> replaced_; ///< by a database's folder
};

} // namespace walgd::backup
