#include "common/backup/restore_target.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <ranges>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace walgd::backup {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view control_member = "global/pg_control";
/// pg_control's name until everything else is on disk.
constexpr std::string_view control_pending = "global/pg_control.walgd-restoring";

bool empty_or_absent(const std::string& folder) {
    std::error_code error;
    const auto status = fs::status(folder, error);
    if (status.type() == fs::file_type::not_found) return true;
    if (error) throw Error(ErrorKind::failed, fmt::format("cannot look at {}: {}", folder, error.message()));
    if (!fs::is_directory(status))
        throw Error(ErrorKind::refused, fmt::format("{} is not a folder", folder), "name a folder that does not exist yet");
    const bool empty = fs::is_empty(folder, error);
    if (error)
        throw Error(ErrorKind::failed, fmt::format("cannot read folder {}: {}", folder, error.message()),
                    "does this user have the right to it?");
    return empty;
}

std::string without_trailing_slashes(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
}

/// The nearest folder above `path` that exists: where its file system is.
std::string existing_part(fs::path path) {
    while (!path.empty() && path != path.root_path() && !fs::exists(path)) path = path.parent_path();
    return path.empty() ? "." : path.string();
}

void make_folder(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return;
    throw_errno(fmt::format("cannot make folder {}", path));
}

} // namespace

std::string relative_member(std::string_view member) {
    std::string path;
    if (member.find('\0') != std::string_view::npos) throw Error(ErrorKind::corrupt, "a member's name has a zero byte in it");
    while (!member.empty()) {
        const auto slash = member.find('/');
        const auto part = member.substr(0, slash);
        if (part == "..")
            throw Error(ErrorKind::corrupt, fmt::format("member {} leads out of the data directory", member),
                        "the backup was tampered with or is not a backup");
        if (!part.empty() && part != ".") path += (path.empty() ? "" : "/") + std::string(part);
        member.remove_prefix(slash == std::string_view::npos ? member.size() : slash + 1);
    }
    return path;
}

RestoreTarget::RestoreTarget(std::string folder) : root_(without_trailing_slashes(std::move(folder))) {
    if (root_.empty()) throw Error(ErrorKind::misconfigured, "no folder to restore into was named");
    if (fs::is_symlink(root_)) root_ = fs::canonical(root_).string();
    root_ = fs::absolute(root_).lexically_normal().string();
    if (!empty_or_absent(root_))
        throw Error(ErrorKind::refused, fmt::format("Directory {} for delta base must be empty", root_),
                    "nothing was written; name an empty folder, or move what is there away first");
}

void RestoreTarget::add_tablespace(const archive::TablespaceSpec::Entry& entry) {
    const auto& name = entry.name;
    if (name.empty() || name.find('/') != std::string::npos || name == "." || name == "..")
        throw Error(ErrorKind::corrupt,
                    fmt::format("the tablespace spec names a tablespace '{}', which cannot be a link in pg_tblspc", name));
    if (!fs::path(entry.location).is_absolute())
        throw Error(ErrorKind::misconfigured,
                    fmt::format("the location '{}' of tablespace {} is not an absolute path", entry.location, name),
                    "correct \"loc\" in the restore spec");
    if (!empty_or_absent(entry.location))
        throw Error(ErrorKind::refused, fmt::format("the folder {} of tablespace {} is not empty", entry.location, name),
                    "nothing was written; give --restore-spec with another location, or empty that folder");
    tablespaces_[name] = without_trailing_slashes(entry.location);
}

void RestoreTarget::check_space(std::uint64_t bytes) const {
    std::map<dev_t, std::string> places;
    std::uint64_t free_bytes = 0;
    auto add = [&](const std::string& path) {
        const auto place = existing_part(path);
        struct stat about{};
        struct statvfs space{};
        if (::stat(place.c_str(), &about) != 0 || ::statvfs(place.c_str(), &space) != 0)
            throw_errno(fmt::format("cannot look at {}", place));
        if (places.emplace(about.st_dev, place).second) free_bytes += space.f_bavail * space.f_frsize;
    };
    add(root_);
    for (const auto& [name, location] : tablespaces_) add(location);
    if (free_bytes < bytes)
        throw Error(ErrorKind::refused,
                    fmt::format("the backup needs {} MiB, {} has {} MiB free", bytes >> 20, root_, free_bytes >> 20),
                    "nothing was written; restore to a larger file system");
}

void RestoreTarget::prepare() {
    std::error_code error;
    fs::create_directories(fs::path(root_).parent_path(), error);
    make_folder(root_);
    folders_.insert(root_);
    for (const auto& [name, location] : tablespaces_) {
        fs::create_directories(location, error);
        if (error)
            throw Error(ErrorKind::failed,
                        fmt::format("cannot make folder {} of tablespace {}: {}", location, name, error.message()));
        if (::chmod(location.c_str(), 0700) != 0) throw_errno(fmt::format("cannot set the mode of {}", location));
        folders_.insert(location);
    }
    if (tablespaces_.empty()) return;
    make_folder(root_ + "/pg_tblspc");
    for (const auto& [name, location] : tablespaces_) {
        const auto link = fmt::format("{}/pg_tblspc/{}", root_, name);
        if (::symlink(location.c_str(), link.c_str()) != 0) throw_errno(fmt::format("cannot make link {}", link));
    }
}

/// Where a member goes. A tablespace's files go to its folder by name, not through the link.
std::string RestoreTarget::resolve(std::string_view member) const {
    const auto relative = relative_member(member);
    constexpr std::string_view prefix = "pg_tblspc/";
    if (relative.starts_with(prefix)) {
        const auto rest = std::string_view(relative).substr(prefix.size());
        const auto name = rest.substr(0, rest.find('/'));
        if (const auto found = tablespaces_.find(name); found != tablespaces_.end())
            return found->second + std::string(rest.substr(name.size()));
    }
    return relative.empty() ? root_ : root_ + "/" + relative;
}

void RestoreTarget::make_parents(const std::string& path) {
    const auto parent = fs::path(path).parent_path().string();
    const std::lock_guard lock(mutex_);
    std::vector<std::string> missing;
    for (auto folder = parent; !folders_.contains(folder); folder = fs::path(folder).parent_path().string())
        missing.push_back(folder);
    for (const auto& folder : std::ranges::reverse_view(missing)) {
        make_folder(folder);
        folders_.insert(folder);
    }
}

RestoreTarget::File RestoreTarget::create_file(std::string_view member, unsigned mode) {
    File file;
    file.path_ = resolve(member);
    file.mode_ = mode & 07777;
    if (file.path_ == root_) throw Error(ErrorKind::corrupt, "a file stands where the data directory itself should be");
    if (file.path_ == root_ + "/" + std::string(control_member)) file.path_ = root_ + "/" + std::string(control_pending);
    make_parents(file.path_);
    file.fd_ = open_file(file.path_, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    return file;
}

void RestoreTarget::File::write(ByteView bytes) { write_all(fd_.get(), bytes, path_); }

void RestoreTarget::File::finish() {
    if (::fchmod(fd_.get(), mode_) != 0) throw_errno(fmt::format("cannot set the mode of {}", path_));
    // Writing out starts now, so that the sync at the end finds little left; its failure shows there.
    ::sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    fd_.close(path_);
}

void RestoreTarget::create_folder(std::string_view member, unsigned mode) {
    const auto path = resolve(member);
    make_parents(path + "/x");
    const std::lock_guard lock(mutex_);
    folder_modes_[path] = mode & 07777;
}

void RestoreTarget::create_link(std::string_view member, std::string link_target) {
    const auto path = resolve(member);
    make_parents(path);
    const std::lock_guard lock(mutex_);
    links_.emplace_back(path, std::move(link_target));
}

void RestoreTarget::finish(bool fsync) {
    for (const auto& [path, target] : links_) {
        if (::symlink(target.c_str(), path.c_str()) != 0 && errno != EEXIST)
            throw_errno(fmt::format("cannot make link {}", path));
    }
    struct stat about{};
    // A backup made while pg_wal was a link has none (WAL-G leaves such links out); PostgreSQL does not start without it.
    if (::lstat((root_ + "/pg_wal").c_str(), &about) != 0) make_folder(root_ + "/pg_wal");
    for (const auto& [path, mode] : folder_modes_) {
        if (::chmod(path.c_str(), mode) != 0) throw_errno(fmt::format("cannot set the mode of {}", path));
    }
    const auto pending = root_ + "/" + std::string(control_pending);
    const auto control = root_ + "/" + std::string(control_member);
    if (::access(pending.c_str(), F_OK) != 0)
        throw Error(ErrorKind::corrupt, "the backup has no global/pg_control in it", "restore another backup: walg backup-list");
    if (fsync) {
        auto sync = [](const std::string& folder) {
            const auto fd = open_file(folder, O_RDONLY | O_DIRECTORY);
            if (::syncfs(fd.get()) != 0) throw_errno(fmt::format("cannot write the file system of {} out", folder));
        };
        sync(root_);
        for (const auto& [name, location] : tablespaces_) sync(location);
    }
    if (::rename(pending.c_str(), control.c_str()) != 0) throw_errno(fmt::format("cannot rename {} to {}", pending, control));
    if (fsync) {
        sync_folder(root_ + "/global");
        sync_folder(root_);
        sync_folder(fs::path(root_).parent_path().string());
    }
}

} // namespace walgd::backup
