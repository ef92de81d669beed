#include "common/backup/restore/database_filter.hpp"

#include "common/backup/restore/glob.hpp"
#include "common/base/error.hpp"
#include "common/base/number_text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <optional>
#include <utility>

namespace walgd::backup {

namespace {

/// FirstNormalObjectId of PostgreSQL: what initdb made is below.
constexpr std::uint32_t first_own_oid = 16384;

std::string qualified(std::string_view table) {
    const auto place = table.find_first_of("/.");
    if (place == std::string_view::npos) return fmt::format("public.{}", table);
    return fmt::format("{}.{}", table.substr(0, place), table.substr(place + 1));
}

} // namespace

bool DatabaseFilter::Wanted::is_of(std::string_view name, std::uint32_t database_oid) const {
    return oid == database_oid || star_match(database, name);
}

DatabaseFilter::DatabaseFilter(const std::string& list) {
    std::string_view rest = list;
    for (bool more = true; more;) {
        const auto comma = rest.find(',');
        const auto word = rest.substr(0, comma);
        more = comma != std::string_view::npos;
        rest.remove_prefix(more ? comma + 1 : rest.size());
        const auto slash = word.find('/');
        Wanted wanted{
            std::string(word), std::string(word.substr(0, slash)), {}, whole_number<std::uint32_t>(word.substr(0, slash))};
        // The databases of initdb come always, and of template0 no backup has the names.
        wanted.found = wanted.oid && *wanted.oid < first_own_oid && slash == std::string_view::npos;
        if (slash != std::string_view::npos) wanted.table = qualified(word.substr(slash + 1));
        if (wanted.database.empty() || (slash != std::string_view::npos && slash + 1 == word.size()))
            throw Error(ErrorKind::misconfigured, fmt::format("--restore-only: '{}' names no database or table", word),
                        "for example --restore-only shop,crm/public.clients");
        wanted_.push_back(std::move(wanted));
    }
}

void DatabaseFilter::add_relation(const archive::RelationEntry& relation) { relations_.push_back(relation); }

bool DatabaseFilter::matches(std::string_view database, std::uint32_t oid, const archive::RelationEntry& relation) {
    bool any = false;
    for (auto& wanted : wanted_) {
        if (!wanted.is_of(database, oid)) continue;
        if (!wanted.table.empty() && !star_match(wanted.table, relation.name) &&
            (relation.parent.empty() || !star_match(wanted.table, relation.parent)))
            continue;
        any = wanted.found = true;
    }
    return any;
}

bool DatabaseFilter::half_told(std::string_view database, std::uint32_t oid, const archive::RelationEntry& relation) const {
    if (relation.file_node != 0 || relation.parent.empty()) return false;
    bool named = false;
    for (const auto& wanted : wanted_) {
        if (!wanted.is_of(database, oid)) continue;
        if (wanted.table.empty() || star_match(wanted.table, relation.parent)) return false;
        named = named || wanted.table == relation.name;
    }
    return named;
}

void DatabaseFilter::take(std::uint32_t database, std::uint32_t file_node) {
    if (file_node != 0) files_.insert(std::uint64_t{database} << 32 | file_node);
}

void DatabaseFilter::end_database(std::string_view name, std::uint32_t oid) {
    for (auto& wanted : wanted_)
        if (wanted.table.empty() && wanted.is_of(name, oid)) wanted.found = true;
    std::unordered_set<std::string> toast;
    for (const auto& relation : relations_) {
        const bool wanted = matches(name, oid, relation);
        if (half_told(name, oid, relation))
            half_told_.push_back(fmt::format("{}/{}, of {}", name, relation.name, relation.parent));
        if (wanted) {
            toast.insert(fmt::format("pg_toast.pg_toast_{}", relation.oid));
            toast.insert(fmt::format("pg_toast.pg_toast_{}_index", relation.oid));
        }
        if (wanted || relation.oid < first_own_oid) take(oid, relation.file_node);
    }
    for (const auto& relation : relations_)
        if (toast.contains(relation.name)) take(oid, relation.file_node);
    relations_.clear();
}

void DatabaseFilter::finish(const std::string& backup) const {
    std::vector<std::string> missing;
    for (const auto& wanted : wanted_)
        if (!wanted.found) missing.push_back(wanted.text);
    if (missing.empty()) return;
    throw Error(
        ErrorKind::refused, fmt::format("--restore-only: backup {} has no {}", backup, fmt::join(missing, ", ")),
        "nothing was written; a table is named database/schema.table; a backup without names of tables (remote ones, or with "
        "disable_partial_restore) can be restored as a whole only");
}

bool DatabaseFilter::wants(std::string_view member) const {
    if (!member.starts_with("base/") && !member.starts_with("pg_tblspc/")) return true;
    const auto slash = member.rfind('/');
    const auto folder = member.substr(0, slash);
    const auto database = whole_number<std::uint32_t>(folder.substr(folder.rfind('/') + 1));
    auto file = member.substr(slash + 1);
    file = file.substr(0, file.find_first_of("._"));
    const auto file_node = whole_number<std::uint32_t>(file);
    if (!database || *database < first_own_oid || !file_node) return true;
    return files_.contains(std::uint64_t{*database} << 32 | *file_node);
}

} // namespace walgd::backup
