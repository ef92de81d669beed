#pragma once
#include "common/archive/documents.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace walgd::backup {

/// WAL-G's --restore-only: the databases and tables that are wanted, and, once the names in the backup's metadata were read, the
/// files that belong to them. What PostgreSQL needs to start goes along always: everything outside databases, the databases of
/// initdb, the catalogs of all. A wanted table brings its partitions and its TOAST table.
class DatabaseFilter {
public:
    /// "db,db/table,db/schema.table,db/schema/table", `*` for any text; a table without a schema is in "public". A number is the
    /// name or the OID of a database.
    /// Error(misconfigured) when it cannot be read.
    explicit DatabaseFilter(const std::string& list);

    // Of the backup's DatabasesByNames, as FilesMetadataReader tells them.
    void add_relation(const archive::RelationEntry& relation);
    void end_database(std::string_view name, std::uint32_t oid);
    /// Error(refused) naming what nothing in the backup matched.
    void finish(const std::string& backup) const;
    /// Named tables whose own partitions are not told: a partition of another table that is partitioned itself, since the backup
    /// has all of them as that table's. "shop/public.p1, of public.p"
    const std::vector<std::string>& half_told() const { return half_told_; }

    /// `member` as a path relative to the data directory.
    bool wants(std::string_view member) const;

private:
    struct Wanted {
        std::string text, database, table; ///< table: "schema.table"; empty: all of the database
        std::optional<std::uint32_t> oid;  ///< what `database` is as a number
        bool found = false;

        bool is_of(std::string_view name, std::uint32_t database_oid) const;
    };
    void take(std::uint32_t database, std::uint32_t file_node);
    bool half_told(std::string_view database, std::uint32_t oid, const archive::RelationEntry& relation) const;
    bool matches(std::string_view database, std::uint32_t oid, const archive::RelationEntry& relation);

    std::vector<Wanted> wanted_;
    std::vector<archive::RelationEntry> relations_; ///< of the database that is being read
    std::vector<std::string> half_told_;
    std::unordered_set<std::uint64_t> files_; ///< database oid << 32 | file node
};

} // namespace walgd::backup
