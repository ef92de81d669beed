#include "common/backup/restore/wal_requirements.hpp"

#include "common/backup/pgdata_walk.hpp"
#include "common/backup/restore/preflight.hpp"
#include "common/base/error.hpp"
#include "common/base/files.hpp"

#include <algorithm>
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

void check_later(const archive::NotedRequirement& noted, const std::string& folder, const std::string& pgdata, int major) {
    const auto oid = std::get<pg::TablespaceCreated>(noted.what).oid;
    const auto to_earlier =
        fmt::format("restore on another host, or to before that: --target-lsn {} --target-exclusive", noted.begin.text());
    const auto refuse = [&](const std::string& cause, const std::string& more) {
        throw Error(ErrorKind::refused,
                    fmt::format("recovery makes tablespace {} in {} (at LSN {}, after the backup), {}", oid, folder,
                                noted.begin.text(), cause),
                    fmt::format("nothing was written; {}{}", to_earlier, more));
    };
    if (!fs::path(folder).is_absolute()) refuse("which is no absolute path", "");
    const auto there = stat_of(folder);
    if (!there) return check_writable(folder, "tablespace folder");
    if (!S_ISDIR(there->st_mode)) refuse("which is no folder", "");
    if (const auto held = tablespace_version_folder(folder, major); !held.empty())
        refuse(fmt::format("where a cluster has its tablespace already: it would write into {}/{}", folder, held),
               ". If that cluster is gone, empty the folder");
    const auto user = server_user(pgdata);
    if (user && *user != there->st_uid)
        refuse("which belongs to another user than PostgreSQL will run as", ". Or give it to that user");
}

} // namespace

std::vector<std::string> check_later_tablespaces(const Requirements& requirements,
                                                 const std::optional<archive::TablespaceSpec>& restored,
                                                 const std::string& pgdata, int major) {
    std::vector<std::string> folders;
    for (const auto& noted : requirements) {
        const auto* created = std::get_if<pg::TablespaceCreated>(&noted.what);
        if (created == nullptr || created->location.empty()) continue;
        const auto& folder = created->location;
        const bool ours =
            restored && std::ranges::count(restored->tablespaces, folder, &archive::TablespaceSpec::Entry::location) > 0;
        if (ours || std::ranges::count(folders, folder) > 0) continue;
        check_later(noted, folder, pgdata, major);
        folders.push_back(folder);
    }
    return folders;
}

void make_tablespace_folders(const std::vector<std::string>& folders, const std::string& pgdata) {
    for (const auto& folder : folders) {
        if (stat_of(folder)) continue;
        // The folders above it, where they are made too, stay root's.
        fs::create_directories(folder);
        if (::chmod(folder.c_str(), S_IRWXU) != 0) throw_errno(fmt::format("cannot set the mode of {}", folder));
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
