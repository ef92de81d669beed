#include "common/backup/push/ratings.hpp"

#include "common/backup/pgdata_walk.hpp"
#include "common/backup/push/each_database.hpp"
#include "common/base/number_text.hpp"

#include <algorithm>
#include <optional>
#include <string>

namespace walgd::backup {

namespace {

constexpr const char* ratings_query = R"(
select relisshared, pg_catalog.pg_relation_filenode(relation.oid), n_tup_ins + n_tup_upd + n_tup_del
from pg_catalog.pg_class relation
left join pg_catalog.pg_index on indexrelid = relation.oid
join pg_catalog.pg_stat_all_tables on relid = coalesce(indrelid, relation.oid)
where n_tup_ins + n_tup_upd + n_tup_del > 0 and relpersistence <> 't'
    and pg_catalog.pg_relation_filenode(relation.oid) is not null)";

constexpr std::uint64_t few_rows = 1'000, many_rows = 1'000'000;

std::uint64_t file_number(std::uint32_t database, std::uint32_t file_node) { return std::uint64_t{database} << 32 | file_node; }

/// "5" of "/base/5/16384" and of "/pg_tblspc/16400/PG_15_202209061/5/16384"; "global" of what is there.
std::string_view last_folder(std::string_view folder) { return folder.substr(folder.rfind('/') + 1); }

/// Nothing for what is no relation's.
std::optional<std::uint64_t> relation_number(std::string_view member) {
    const auto slash = member.rfind('/');
    if (slash == std::string_view::npos || slash == 0) return std::nullopt;
    RelationFile file;
    if (!parse_relation_file(member.substr(slash + 1), file)) return std::nullopt;
    const auto folder = last_folder(member.substr(0, slash));
    const auto database = folder == "global" ? std::optional<std::uint32_t>(0) : whole_number<std::uint32_t>(folder);
    const auto file_node = whole_number<std::uint32_t>(file.relation);
    if (!database || !file_node) return std::nullopt;
    return file_number(*database, *file_node);
}

} // namespace

void Ratings::add(std::uint32_t database, std::uint32_t file_node, std::uint64_t rows) {
    counts_.push_back({file_number(database, file_node), rows});
    has_[class_of(rows)] = true;
}

void Ratings::seal() { std::ranges::sort(counts_, {}, &Count::file); }

unsigned Ratings::class_of(std::uint64_t rows) { return rows == 0 ? 0 : rows <= few_rows ? 1 : rows <= many_rows ? 2 : 3; }

unsigned Ratings::class_of_member(std::string_view member) const {
    return relation_number(member) ? class_of(of(member)) : classes - 1;
}

std::uint64_t Ratings::of(std::string_view member) const {
    const auto number = relation_number(member);
    if (!number) return 0;
    const auto found = std::ranges::lower_bound(counts_, *number, {}, &Count::file);
    return found != counts_.end() && found->file == *number ? found->rows : 0;
}

Ratings collect_ratings(pg::Server& server, const pg::ConnectionOptions& connection, Log& log, std::stop_token stop) {
    Ratings ratings;
    each_database(
        server, connection, std::move(stop), [&](const std::string& name, const std::string& oid, const Connect& connect) {
            try {
                const auto database = connect();
                database->each_row(ratings_query, [&](const std::vector<std::string>& row) {
                    const auto number = row.at(0) == "t" ? std::optional<std::uint32_t>(0) : whole_number<std::uint32_t>(oid);
                    const auto file_node = whole_number<std::uint32_t>(row.at(1));
                    const auto rows = whole_number<std::uint64_t>(row.at(2));
                    if (number && file_node && rows) ratings.add(*number, *file_node, *rows);
                });
            } catch (const Error& error) {
                log.warn(
                    "How often the tables of database {} are written to is not known, so they count as if they never were: {}",
                    name, error.what());
            }
        });
    ratings.seal();
    return ratings;
}

} // namespace walgd::backup
