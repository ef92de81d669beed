#include "common/backup/member_name.hpp"
#include "common/backup/pgdata_walk.hpp"
#include "common/backup/restore/restore_target.hpp"
#include "common/base/error.hpp"

#include <filesystem>
#include <fmt/format.h>

namespace walgd::backup {

namespace fs = std::filesystem;

namespace {

void remove_tree(const fs::path& path) {
    std::error_code error;
    fs::remove_all(path, error);
    if (error) throw Error(ErrorKind::failed, fmt::format("cannot remove {}: {}", path.string(), error.message()));
}

} // namespace

void RestoreTarget::clear() {
    for (const auto& place : places()) {
        if (!fs::is_directory(place)) continue;
        for (const auto& entry : fs::directory_iterator(place))
            if (entry.path().filename() != (place == root_ ? restore_state_name : of_file_system)) remove_tree(entry.path());
    }
}

void RestoreTarget::remove_others_in(const std::string& folder, const std::string& relative,
                                     const std::function<bool(std::string_view)>& known) {
    open_to_owner(folder);
    for (const auto& entry : fs::directory_iterator(folder)) {
        const auto name = entry.path().filename().string();
        const auto inner = relative.empty() ? name : relative + "/" + name;
        if (inner == restore_state_name || inner == control_pending || inner == "log" || inner == "pg_log") continue;
        const bool is_tablespace = relative + "/" == tablespace_prefix && tablespaces_.contains(name);
        if (is_tablespace) continue;
        if (fs::is_directory(entry.symlink_status()))
            remove_others_in(entry.path().string(), inner, known);
        else if (is_server_folder(inner) && fs::is_directory(entry.path()))
            remove_others_in(fs::canonical(entry.path()).string(), inner, known);
        else if (!known(inner))
            remove_tree(entry.path());
    }
    // Of databases that the backup does not know, and of replication slots: PostgreSQL does not start with an empty one.
    const bool removed =
        relative.starts_with("base/") || relative.starts_with("pg_replslot/") || relative.starts_with(tablespace_prefix);
    if (removed && !known(relative) && fs::is_empty(folder)) remove_tree(folder);
}

void RestoreTarget::remove_others(const std::function<bool(std::string_view)>& known) {
    remove_others_in(root_, "", known);
    for (const auto& [name, location] : tablespaces_)
        for (const auto& entry : fs::directory_iterator(location)) {
            const auto inner = fmt::format("{}{}/{}", tablespace_prefix, name, entry.path().filename().string());
            // Folders of other versions of PostgreSQL beside it are not the cluster's.
            const bool ours = known(inner) || folders_.contains(entry.path().string());
            if (ours && fs::is_directory(entry.symlink_status())) remove_others_in(entry.path().string(), inner, known);
        }
}

} // namespace walgd::backup
