#include "common/backup/push/delta_files.hpp"

#include "common/base/number_text.hpp"
#include "common/pg/page.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

namespace walgd::backup {

namespace {

constexpr std::uint32_t default_tablespace = 1663;

std::string_view take_word(std::string_view& path) {
    const auto slash = path.find('/');
    const auto word = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    return word;
}

Time time_of(const timespec& time) { return Time(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec)); }

std::optional<Time> modified(const std::string& path) {
    struct stat about{};
    if (::lstat(path.c_str(), &about) != 0) return std::nullopt;
    return time_of(about.st_mtim);
}

/// Nothing where the file system does not know.
std::optional<Time> made(const std::string& path) {
    struct statx about{};
    if (::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BTIME, &about) != 0 || (about.stx_mask & STATX_BTIME) == 0)
        return std::nullopt;
    return Time(std::chrono::seconds(about.stx_btime.tv_sec) + std::chrono::nanoseconds(about.stx_btime.tv_nsec));
}

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

} // namespace

std::optional<RelationPlace> relation_place(std::string_view member) {
    auto rest = member;
    if (!rest.starts_with('/')) return std::nullopt;
    rest.remove_prefix(1);
    const auto top = take_word(rest);
    RelationPlace place;
    if (top == "base") {
        place.relation.tablespace = default_tablespace;
    } else if (top == "pg_tblspc") {
        const auto tablespace = whole_number<std::uint32_t>(take_word(rest));
        if (!tablespace || !take_word(rest).starts_with("PG_")) return std::nullopt;
        place.relation.tablespace = *tablespace;
    } else {
        return std::nullopt;
    }
    const auto database = whole_number<std::uint32_t>(take_word(rest));
    RelationFile file;
    if (!database || !parse_relation_file(rest, file) || !file.fork.empty()) return std::nullopt;
    const auto relation = whole_number<std::uint32_t>(file.relation);
    if (!relation) return std::nullopt;
    place.relation.database = *database;
    place.relation.relation = *relation;
    place.segment = file.segment;
    place.folder = member.substr(0, member.rfind('/'));
    return place;
}

DeltaFiles::DeltaFiles(Options options, const ParentFiles& files, const pg::BlockChanges* changes)
    : options_(std::move(options)), files_(files), changes_(changes),
      same_cluster_files_(unchanged(options_.pgdata + "/PG_VERSION", "/PG_VERSION")) {}

bool DeltaFiles::unchanged(const std::string& path, const std::string& member) const {
    const auto now = modified(path), then = files_.find(member);
    return now && then && *now == *then;
}

bool DeltaFiles::paged(const WalkedEntry& entry) const {
    const auto size = static_cast<std::uint64_t>(entry.about.st_size);
    return size > 0 && size <= options_.relation_file_bytes && size % options_.block_bytes == 0;
}

/// A restore writes pg_control last, and PostgreSQL never makes it anew.
bool DeltaFiles::made_since_cluster(const std::string& path) const {
    const auto database = made(path), cluster = made(options_.pgdata + "/global/pg_control");
    return !database || !cluster || *database > *cluster;
}

/// CREATE DATABASE may copy the files of its template as they are, with pages older than the parent, into a folder that another
/// database had when the parent was made. PG_VERSION is written once, when the folder is made.
bool DeltaFiles::database_replaced(const WalkedEntry& entry, std::string_view folder) {
    if (options_.for_standby && (changes_ != nullptr || !options_.databases_since)) return false;
    const std::lock_guard lock(mutex_);
    const auto known = replaced_.find(folder);
    if (known != replaced_.end()) return known->second;
    auto path = folder_of(entry.path) + "/PG_VERSION", member = std::string(folder) + "/PG_VERSION";
    if (!modified(path)) {
        // In a tablespace that is not the database's own there is none. Mostly the database is in base.
        member = fmt::format("/base/{}/PG_VERSION", folder.substr(folder.rfind('/') + 1));
        path = options_.pgdata + member;
    }
    const bool replaced = options_.for_standby ? modified(path).value_or(Time::max()) >= *options_.databases_since
                                               : !unchanged(path, member) && (same_cluster_files_ || made_since_cluster(path));
    replaced_.emplace(folder, replaced);
    return replaced;
}

DeltaFiles::Way DeltaFiles::way(const WalkedEntry& entry) {
    if (entry.type != WalkedEntry::Type::file) return Way::whole;
    const auto then = options_.for_standby ? std::nullopt : files_.find(entry.member);
    if (!then && !options_.for_standby) return Way::whole;
    if (then && *then == time_of(entry.about.st_mtim)) return Way::skip;
    const auto place = relation_place(entry.member);
    if (!place || !paged(entry) || database_replaced(entry, place->folder)) return Way::whole;
    if (changes_ != nullptr && changes_->replaced(place->relation.tablespace, place->relation.database)) return Way::whole;
    return Way::pages;
}

std::optional<std::vector<std::uint32_t>> DeltaFiles::changed_blocks(const WalkedEntry& entry) const {
    const auto place = relation_place(entry.member);
    const auto* fork = changes_->find(place->relation);
    if (fork == nullptr) return std::vector<std::uint32_t>();
    const auto first = place->segment * (options_.relation_file_bytes / options_.block_bytes);
    const auto end = first + static_cast<std::uint64_t>(entry.about.st_size) / options_.block_bytes;
    if (fork->limit && *fork->limit <= first) return std::nullopt;
    auto blocks = fork->blocks.between(first, fork->limit ? std::min<std::uint64_t>(end, *fork->limit) : end);
    for (auto block = fork->limit ? std::uint64_t{*fork->limit} : end; block < end; ++block)
        blocks.push_back(static_cast<std::uint32_t>(block));
    for (auto& block : blocks) block -= static_cast<std::uint32_t>(first);
    return blocks;
}

bool DeltaFiles::may_be_visible_unlogged(const WalkedEntry& entry) const {
    if (options_.hint_bits_logged) return false;
    const auto place = relation_place(entry.member);
    const auto name = "/" + std::to_string(place->relation.relation) + "_vm";
    const auto path = folder_of(entry.path) + name;
    return modified(path) && !unchanged(path, std::string(place->folder) + name);
}

} // namespace walgd::backup
