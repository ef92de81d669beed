#include "common/backup/pgdata_walk.hpp"

#include "common/backup/member_name.hpp"
#include "common/base/error.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <span>
#include <unistd.h>

namespace walgd::backup {

namespace {

using namespace std::string_view_literals;

// At any depth: a folder of that name comes empty, anything else not at all (WAL-G's list).
constexpr std::array excluded_anywhere{"log"sv,
                                       "pg_log"sv,
                                       "pg_xlog"sv,
                                       "pg_wal"sv,
                                       "pgsql_tmp"sv,
                                       "postgresql.auto.conf.tmp"sv,
                                       "postmaster.pid"sv,
                                       "postmaster.opts"sv,
                                       "recovery.conf"sv,
                                       "pg_dynshmem"sv,
                                       "pg_notify"sv,
                                       "pg_replslot"sv,
                                       "pg_serial"sv,
                                       "pg_stat_tmp"sv,
                                       "pg_snapshots"sv,
                                       "pg_subtrans"sv,
                                       "standby.signal"sv};
// In the data directory itself: of other backups, or written anew at every start.
constexpr std::array excluded_at_root{"backup_label"sv, "tablespace_map"sv, "backup_manifest"sv, "current_logfiles.tmp"sv};

constexpr std::array server_folders{"base"sv,         "global"sv,      "pg_commit_ts"sv, "pg_dynshmem"sv, "pg_logical"sv,
                                    "pg_multixact"sv, "pg_notify"sv,   "pg_replslot"sv,  "pg_serial"sv,   "pg_snapshots"sv,
                                    "pg_stat"sv,      "pg_stat_tmp"sv, "pg_subtrans"sv,  "pg_tblspc"sv,   "pg_twophase"sv,
                                    "pg_wal"sv,       "pg_xact"sv};

bool has(std::span<const std::string_view> list, std::string_view name) { return std::ranges::find(list, name) != list.end(); }

bool excluded(std::string_view folder_member, std::string_view name) {
    return has(excluded_anywhere, name) || (folder_member == "/" && has(excluded_at_root, name)) ||
           name.starts_with("pgsql_tmp") || name.starts_with("pg_internal.init");
}

bool digits(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// Folders that hold relations: "/base/5", "/pg_tblspc/16384/PG_15_202209061/5". Not "/global": nothing there is unlogged.
bool holds_relations(std::string_view member) {
    const auto last = member.substr(member.rfind('/') + 1);
    return digits(last) && (member.starts_with("/base/") || member.starts_with("/pg_tblspc/"));
}

/// pg_control is copied last. The others are left of a restore that was killed at its end, and no restore takes them.
bool comes_otherwise(std::string_view member) {
    const auto relative = member.substr(1);
    return relative == control_member || relative == control_pending || relative == restore_state_name;
}

bool of_server_folder(std::string_view member) {
    member.remove_prefix(1);
    return is_server_folder(member.substr(0, member.find('/')));
}

/// Nothing, when it is gone.
std::optional<struct stat> stat_of(const std::string& path, int flags = AT_SYMLINK_NOFOLLOW) {
    struct stat about{};
    if (::fstatat(AT_FDCWD, path.c_str(), &about, flags) == 0) return about;
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw_errno(fmt::format("cannot look at {}", path), errno, "does the user of this process own the data directory?");
}

/// Names in byte order; empty when the folder is gone.
std::vector<std::string> names_in(const std::string& path) {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), &::closedir);
    if (!folder && errno == ENOENT) return {};
    if (!folder)
        throw_errno(fmt::format("cannot open the folder {}", path), errno,
                    "does the user of this process own the data directory?");
    std::vector<std::string> names;
    for (;;) {
        errno = 0;
        const auto* entry = ::readdir(folder.get());
        if (entry == nullptr) break;
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) throw_errno(fmt::format("cannot read the folder {}", path));
    std::ranges::sort(names);
    return names;
}

std::string link_of(const std::string& path) {
    char text[PATH_MAX];
    const auto length = ::readlink(path.c_str(), text, sizeof text);
    if (length < 0) throw_errno(fmt::format("cannot read the link {}", path));
    return {text, static_cast<std::size_t>(length)};
}

std::string member_below(const std::string& member, const std::string& name) {
    return member == "/" ? "/" + name : member + "/" + name;
}

} // namespace

std::string tablespace_version_folder(const std::string& place, int major) {
    const auto begin = major == 0 ? std::string("PG_") : fmt::format("PG_{}_", major);
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(place, error)) {
        auto name = entry.path().filename().string();
        if (name.starts_with(begin)) return name;
    }
    return {};
}

bool is_server_folder(std::string_view relative) { return has(server_folders, relative); }

bool parse_relation_file(std::string_view name, RelationFile& file) {
    file = {};
    auto rest = name;
    if (const auto dot = rest.find('.'); dot != std::string_view::npos) {
        const auto number = rest.substr(dot + 1);
        if (!digits(number)) return false;
        const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), file.segment);
        if (error != std::errc()) return false;
        rest = rest.substr(0, dot);
    }
    if (const auto bar = rest.find('_'); bar != std::string_view::npos) {
        file.fork = rest.substr(bar + 1);
        if (file.fork != "fsm" && file.fork != "vm" && file.fork != "init") return false;
        rest = rest.substr(0, bar);
    }
    file.relation = rest;
    return digits(rest);
}

bool is_temporary_relation(std::string_view name) {
    if (!name.starts_with('t')) return false;
    name.remove_prefix(1);
    const auto bar = name.find('_');
    RelationFile file;
    return bar != std::string_view::npos && digits(name.substr(0, bar)) && parse_relation_file(name.substr(bar + 1), file);
}

void PgdataWalk::run(const Visit& visit) {
    catalog_bytes_ = 0;
    walk(pgdata_, "/", visit);
}

void PgdataWalk::walk(const std::string& path, const std::string& member, const Visit& visit) {
    auto about = stat_of(path);
    const bool followed = about && S_ISLNK(about->st_mode) && of_server_folder(member);
    if (followed) about = stat_of(path, 0);
    if (!about) return;
    catalog_bytes_ += static_cast<std::uint64_t>(about->st_size);
    WalkedEntry entry{member, path, WalkedEntry::Type::directory, *about, {}};
    std::error_code gone;
    if (followed) entry.path = std::filesystem::canonical(path, gone);
    if (gone) return;
    const auto slash = member.rfind('/');
    const std::string_view name = std::string_view(member).substr(slash + 1);
    const bool left_out = excluded(slash == 0 ? "/" : member.substr(0, slash), name) || has(left_out_, name);
    if (S_ISDIR(about->st_mode)) {
        if (member == "/pg_tblspc") walk_tablespaces(path, member, visit);
        visit(std::move(entry));
        if (!left_out) walk_content(path, member, visit);
    } else if (!left_out && !comes_otherwise(member) && (S_ISREG(about->st_mode) || S_ISLNK(about->st_mode))) {
        entry.type = S_ISREG(about->st_mode) ? WalkedEntry::Type::file : WalkedEntry::Type::symlink;
        if (entry.type == WalkedEntry::Type::symlink) entry.link = link_of(path);
        visit(std::move(entry));
    }
}

void PgdataWalk::walk_content(const std::string& path, const std::string& member, const Visit& visit) {
    const auto names = names_in(path);
    const bool relations = holds_relations(member);
    for (const auto& name : names) {
        if (relations && is_temporary_relation(name)) continue;
        RelationFile file;
        // An unlogged relation is made anew from its init fork when recovery ends.
        if (relations && parse_relation_file(name, file) && file.fork != "init" &&
            std::ranges::binary_search(names, std::string(file.relation) + "_init"))
            continue;
        const auto below = path + "/" + name;
        if (member == "/pg_tblspc") {
            const auto about = stat_of(below);
            if (about && S_ISLNK(about->st_mode)) continue; // walked already
        }
        walk(below, member_below(member, name), visit);
    }
}

void PgdataWalk::walk_tablespaces(const std::string& path, const std::string& member, const Visit& visit) {
    for (const auto& name : names_in(path)) {
        if (tablespaces_ && digits(name) && !tablespaces_->contains(name)) continue;
        const auto link = path + "/" + name;
        const auto about = stat_of(link);
        // Their links and roots get no header: the sentinel's spec and the tablespace map say where they are.
        if (about && S_ISLNK(about->st_mode)) walk_content(link, member_below(member, name), visit);
    }
}

} // namespace walgd::backup
