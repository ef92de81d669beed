#include "common/backup/push/database_names.hpp"

#include "common/archive/json_text.hpp"
#include "common/backup/push/each_database.hpp"
#include "common/base/error.hpp"

#include <fmt/format.h>

namespace walgd::backup {

namespace {

// Left out are the relations of sessions: their files are in no backup.
constexpr const char* relations_query = R"(
with recursive family (child, top) as (
    select inhrelid, inhparent from pg_catalog.pg_inherits first
    where not exists (select from pg_catalog.pg_inherits upper where upper.inhrelid = first.inhparent)
    union
    select lower.inhrelid, family.top from family join pg_catalog.pg_inherits lower on lower.inhparent = family.child),
member (relation, top) as (
    select oid, oid from pg_catalog.pg_class where oid not in (select child from family)
    union all
    select child, top from family)
select member.top, member.relation, nspname || '.' || relname, coalesce(pg_catalog.pg_relation_filenode(member.relation), 0)
from member
join pg_catalog.pg_class on pg_class.oid = member.relation
join pg_catalog.pg_namespace on pg_namespace.oid = relnamespace
where relpersistence <> 't' and (pg_catalog.pg_relation_filenode(member.relation) is not null
    or exists (select from pg_catalog.pg_inherits where inhparent = member.relation))
order by member.top, member.relation <> member.top, member.relation)";

/// Writes the relations of one database in the order of the query: a parent, then its children.
class RelationsWriter {
public:
    explicit RelationsWriter(TextSpool& out) : out_(out) {}

    void add(const std::string& top, const std::string& relation, const std::string& name, const std::string& file_node) {
        const bool child = top != relation && top == parent_;
        if (child)
            out_.append(children_++ == 0 ? R"(,"subtables":{)" : ",");
        else
            close();
        if (!child) out_.append(relations_++ == 0 ? "" : ",");
        if (!child) parent_ = relation;
        out_.append(fmt::format(R"({}:{{"oid":{},"relfilenode":{})", archive::json_string(name), relation, file_node));
        if (child) out_.append("}");
    }
    void close() {
        if (children_ > 0) out_.append("}");
        if (!parent_.empty()) out_.append("}");
        children_ = 0;
        parent_.clear();
    }

private:
    TextSpool& out_;
    std::string parent_;
    std::uint64_t relations_ = 0, children_ = 0;
};

void write_database(pg::Server& server, const std::string& name, const std::string& oid, TextSpool& out) {
    out.append(fmt::format(R"({}{}:{{"oid":{},"tables_new":{{)", out.bytes() == 0 ? "{" : ",", archive::json_string(name), oid));
    RelationsWriter relations(out);
    server.each_row(relations_query, [&relations](const std::vector<std::string>& row) {
        relations.add(row.at(0), row.at(1), row.at(2), row.at(3));
    });
    relations.close();
    out.append("}}");
}

} // namespace

void collect_database_names(pg::Server& server, const pg::ConnectionOptions& connection, TextSpool& out, Log& log,
                            std::stop_token stop) {
    each_database(
        server, connection, std::move(stop), [&](const std::string& name, const std::string& oid, const Connect& connect) {
            const auto before = out.bytes();
            try {
                const auto database = connect();
                write_database(*database, name, oid, out);
            } catch (const Error& error) {
                out.cut(before);
                log.warn("The tables of database {} could not be listed, so the backup can be restored as a whole, but not that "
                         "database in part (WAL-G's --restore-only): {}",
                         name, error.what());
            }
        });
    if (out.bytes() > 0) out.append("}");
}

} // namespace walgd::backup
