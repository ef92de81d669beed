#include "common/backup/restore/wal_requirements.hpp"

#include "common/backup/pgdata_walk.hpp"
#include "common/backup/restore/preflight.hpp"
#include "common/backup/restore/restore_target.hpp"
#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/base/in_quotes.hpp"

#include <algorithm>
#include <climits>
#include <filesystem>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::backup {

namespace fs = std::filesystem;

namespace {

std::optional<struct stat> stat_of(const std::string& path) {
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0) return std::nullopt;
    return about;
}

/// Who PostgreSQL will run as; nothing: nobody knows yet.
std::optional<uid_t> server_user(const std::string& pgdata) {
    if (::geteuid() != 0) return ::geteuid();
    const auto there = stat_of(pgdata);
    if (!there || there->st_uid == 0) return std::nullopt;
    return there->st_uid;
}

void check_later(const archive::NotedRequirement& noted, const LaterTablespaces& where) {
    const auto& [oid, folder] = std::get<pg::TablespaceCreated>(noted.what);
    const auto refuse = [&](const std::string& cause, const std::string& more) {
        const auto before = noted.begin >= where.consistent
                                ? fmt::format(", or to before that: --target-lsn {} --target-exclusive", noted.begin.text())
                                : std::string(", or from another backup");
        throw Error(
            ErrorKind::refused,
            fmt::format("recovery makes tablespace {} in {} (at LSN {}), {}", oid, in_quotes(folder), noted.begin.text(), cause),
            fmt::format("nothing was written; restore on another host{}{}", before, more));
    };
    if (!fs::path(folder).is_absolute() || folder.size() >= PATH_MAX) refuse("which is no place that PostgreSQL has", "");
    const auto there = stat_of(folder);
    if (!there) return check_writable(folder, "tablespace folder");
    if (!S_ISDIR(there->st_mode)) refuse("which is no folder", "");
    if (const auto held = tablespace_version_folder(folder, where.major); !held.empty())
        refuse(fmt::format("where a cluster has its tablespace already: it would write into {}", held),
               ". If that cluster is gone, empty the folder");
    const auto user = server_user(where.pgdata);
    if (user && *user != there->st_uid)
        refuse("which belongs to another user than PostgreSQL will run as", ". Or give it to that user");
}

} // namespace

std::vector<std::string> check_later_tablespaces(const Requirements& requirements, const LaterTablespaces& where) {
    std::vector<std::string> folders;
    for (const auto& noted : requirements) {
        const auto* created = std::get_if<pg::TablespaceCreated>(&noted.what);
        if (created == nullptr || created->location.empty()) continue;
        const auto& folder = created->location;
        const bool ours = where.restored && std::ranges::any_of(where.restored->tablespaces, [&](const auto& entry) {
                              return without_trailing_slashes(entry.location) == folder;
                          });
        if (ours || std::ranges::count(folders, folder) > 0) continue;
        check_later(noted, where);
        folders.push_back(folder);
    }
    return folders;
}

void make_tablespace_folders(const std::vector<std::string>& folders, const std::string& pgdata) {
    const auto make = [](const fs::path& folder, mode_t mode) {
        fs::create_directory(folder);
        if (::chmod(folder.c_str(), mode) != 0) throw_errno(fmt::format("cannot set the mode of {}", folder.string()));
    };
    for (const auto& folder : folders) {
        if (stat_of(folder)) continue;
        std::vector<fs::path> above;
        for (auto one = fs::path(folder).parent_path(); !stat_of(one); one = one.parent_path()) above.push_back(one);
        // PostgreSQL's user has to come through those that root makes.
        for (auto one = above.rbegin(); one != above.rend(); ++one) make(*one, S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH);
        make(folder, S_IRWXU);
        const auto owner = stat_of(pgdata);
        const bool give = ::geteuid() == 0 && owner;
        if (give && ::chown(folder.c_str(), owner->st_uid, owner->st_gid) != 0)
            throw_errno(fmt::format("cannot set the owner of {}", folder));
    }
}

std::vector<std::string> raised_settings(const Requirements& requirements, const pg::StandbySettings& before) {
    std::vector<std::string> texts;
    for (std::size_t index = 0; index < pg::StandbySettings::names.size(); ++index) {
        auto highest = before.values[index];
        pg::Lsn since{0};
        for (const auto& noted : requirements) {
            const auto* settings = std::get_if<pg::StandbySettings>(&noted.what);
            if (settings == nullptr || settings->values[index] <= highest) continue;
            highest = settings->values[index];
            since = noted.begin;
        }
        if (highest > before.values[index])
            texts.push_back(fmt::format("{} = {} (before LSN {}: {})", pg::StandbySettings::names[index], highest, since.text(),
                                        before.values[index]));
    }
    return texts;
}

} // namespace walgd::backup
