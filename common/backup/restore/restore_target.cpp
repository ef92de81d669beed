#include "common/backup/restore/restore_target.hpp"

#include "common/backup/member_name.hpp"
#include "common/backup/pgdata_walk.hpp"
#include "common/base/error.hpp"
#include "common/base/files.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <linux/magic.h>
#include <ranges>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace walgd::backup {

namespace fs = std::filesystem;

namespace {

/// But for what is called `beside`.
bool empty_or_absent(const std::string& folder, std::string_view beside = {}) {
    std::error_code error;
    const auto status = fs::status(folder, error);
    if (status.type() == fs::file_type::not_found) return true;
    if (error) throw Error(ErrorKind::failed, fmt::format("cannot look at {}: {}", folder, error.message()));
    if (!fs::is_directory(status))
        throw Error(ErrorKind::refused, fmt::format("{} is not a folder", folder), "name a folder that does not exist yet");
    const bool empty = std::ranges::all_of(fs::directory_iterator(folder, error),
                                           [&](const auto& one) { return one.path().filename() == beside; });
    if (error)
        throw Error(ErrorKind::failed, fmt::format("cannot read folder {}: {}", folder, error.message()),
                    "does this user have the right to it?");
    return empty;
}

void make_folder(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return;
    throw_errno(fmt::format("cannot make folder {}", path));
}

/// Nothing is written through a link that an earlier try made last, or that somebody put there.
void require_folder(const std::string& path) {
    struct stat about{};
    if (::lstat(path.c_str(), &about) != 0) throw_errno(fmt::format("cannot look at {}", path));
    if (!S_ISDIR(about.st_mode))
        throw Error(ErrorKind::corrupt, fmt::format("{} is not a folder, and the backup has files in it", path),
                    "the backup was tampered with, or the folder was changed: look at what is there");
}

/// Folders that a cluster may have elsewhere.
bool may_be_link(std::string_view relative) { return is_server_folder(relative) || relative == "log" || relative == "pg_log"; }

/// A cluster may have something else where the backup has a folder, or a folder closed to its owner, who may open it.
void make_way_for_folder(const std::string& path, bool link_stays) {
    struct stat about{};
    if ((link_stays ? ::stat : ::lstat)(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode)) {
        open_to_owner(path);
        return;
    }
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno(fmt::format("cannot remove {}", path));
    make_folder(path);
}

/// Links below it are not followed.
std::uint64_t bytes_on_disk(const std::string& folder) {
    std::uint64_t bytes = 0;
    std::error_code error;
    const auto closed_ones = fs::directory_options::skip_permission_denied;
    for (fs::recursive_directory_iterator at(folder, closed_ones, error), end; !error && at != end; at.increment(error)) {
        struct stat about{};
        if (::lstat(at->path().c_str(), &about) == 0 && S_ISREG(about.st_mode))
            bytes += static_cast<std::uint64_t>(about.st_blocks) * 512;
    }
    return bytes;
}

/// The link `path` leads to `location`, made if there is none.
void make_tablespace_link(const std::string& path, const std::string& location) {
    if (::symlink(location.c_str(), path.c_str()) == 0) return;
    if (errno != EEXIST) throw_errno(fmt::format("cannot make link {}", path));
    std::error_code error;
    if (const auto there = fs::read_symlink(path, error); error || without_trailing_slashes(there.string()) != location)
        throw Error(ErrorKind::refused, fmt::format("{} is there and does not lead to {}", path, location),
                    "remove it, or give a --restore-spec that fits it");
}

} // namespace

bool may_compress(std::uint32_t file_system) {
    constexpr std::uint32_t zfs = 0x2FC12FC1, bcachefs = 0xCA451A4E;
    return file_system == BTRFS_SUPER_MAGIC || file_system == zfs || file_system == bcachefs;
}

std::string without_trailing_slashes(std::string path) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    return path;
}

void open_to_owner(const std::string& folder) {
    if (::access(folder.c_str(), R_OK | W_OK | X_OK) == 0 || errno != EACCES) return;
    // Where that fails, what is done in the folder tells.
    struct stat about{};
    if (::stat(folder.c_str(), &about) == 0) ::chmod(folder.c_str(), (about.st_mode & 07777) | 0700);
}

RestoreTarget::RestoreTarget(std::string folder) : root_(without_trailing_slashes(std::move(folder))) {
    if (root_.empty()) throw Error(ErrorKind::misconfigured, "no folder to restore into was named");
    std::error_code error;
    if (fs::is_symlink(root_, error)) {
        const auto place = fs::canonical(root_, error);
        if (error)
            throw Error(ErrorKind::refused,
                        fmt::format("{} is a link, and it cannot be told where to: {}", root_, error.message()),
                        "make the folder that it leads to, or name another one");
        root_ = place.string();
    }
    root_ = without_trailing_slashes(fs::absolute(root_).lexically_normal().string()); // of "." it ends in one
}

void RestoreTarget::require_empty() const {
    if (empty_or_absent(root_)) return;
    // pg_control gets its name last, and recovery puts the label away.
    const auto there = [this](const char* name) { return ::access((root_ + name).c_str(), F_OK) == 0; };
    const bool waits = there("/global/pg_control") && there("/backup_label");
    throw Error(
        ErrorKind::refused, fmt::format("Directory {} for delta base must be empty", root_),
        waits ? "nothing was written; it holds a whole restored backup that has not begun to recover: start PostgreSQL on it, "
                "or name an empty folder"
              : "nothing was written; name an empty folder, or move what is there away first");
}

bool RestoreTarget::holds_only(std::string_view name) const {
    return std::ranges::all_of(fs::directory_iterator(root_), [&](const auto& entry) { return entry.path().filename() == name; });
}

void RestoreTarget::add_tablespace(const archive::TablespaceSpec::Entry& entry) {
    const auto& name = entry.name;
    if (name.empty() || name.find('/') != std::string::npos || name == "." || name == "..")
        throw Error(ErrorKind::corrupt,
                    fmt::format("the tablespace spec names a tablespace '{}', which cannot be a link in pg_tblspc", name));
    if (entry.location == std::string(tablespace_prefix) + name) return;
    if (!fs::path(entry.location).is_absolute())
        throw Error(ErrorKind::misconfigured,
                    fmt::format("the location '{}' of tablespace {} is not an absolute path", entry.location, name),
                    "correct \"loc\" in the restore spec");
    const auto location = without_trailing_slashes(entry.location);
    for (const auto& [other, taken] : tablespaces_)
        if (other != name && fs::path(taken).lexically_normal() == fs::path(location).lexically_normal())
            throw Error(ErrorKind::refused, fmt::format("the tablespaces {} and {} are both to be in {}", other, name, location),
                        "nothing was written; PostgreSQL gives each a folder of its own: correct \"loc\" in the restore spec");
    const bool ours = holds_ != Holds::nothing && leads_to(name, location);
    if (!ours && !empty_or_absent(location, of_file_system))
        throw Error(ErrorKind::refused, fmt::format("the folder {} of tablespace {} is not empty", location, name),
                    "nothing was written; give --restore-spec with another location, or empty that folder");
    tablespaces_[name] = location;
}

/// The data directory's own link says that the place belongs to it.
bool RestoreTarget::leads_to(const std::string& tablespace, const std::string& location) const {
    std::error_code error;
    const auto there = fs::read_symlink(fmt::format("{}/{}{}", root_, tablespace_prefix, tablespace), error);
    return !error && without_trailing_slashes(there.string()) == location;
}

void RestoreTarget::require_no_other_tablespaces() const {
    const auto folder = fmt::format("{}/{}", root_, tablespace_prefix);
    const auto version_file = root_ + "/PG_VERSION";
    const bool told = ::access(version_file.c_str(), R_OK) == 0;
    const int major = told ? std::atoi(read_text_file(version_file, 64).c_str()) : 0;
    std::error_code error;
    for (const auto& link : fs::directory_iterator(folder, error)) {
        const auto name = link.path().filename().string();
        if (!link.is_symlink() || tablespaces_.contains(name)) continue;
        const auto place = fs::canonical(link.path(), error);
        if (error) continue; // it leads nowhere
        const bool added =
            std::ranges::any_of(places(), [&](const std::string& one) { return fs::equivalent(one, place, error); });
        if (added) continue;
        const auto version = tablespace_version_folder(place.string(), major);
        if (version.empty() || fs::is_empty(place / version, error)) continue;
        throw Error(
            ErrorKind::refused,
            fmt::format("the cluster in {} has files of tablespace {} in {}, and the backup does not know that tablespace", root_,
                        name, (place / version).string()),
            "nothing was written. If the WAL makes it again, recovery takes them for its own: move them away, and try again");
    }
}

std::vector<std::string> RestoreTarget::places() const {
    std::vector<std::string> places{root_};
    for (const auto& [name, location] : tablespaces_) places.push_back(location);
    return places;
}

std::string RestoreTarget::check_space(std::uint64_t bytes) {
    std::set<dev_t> devices;
    std::uint64_t free_bytes = 0, held = 0;
    bool compressed = false;
    for (const auto& path : places()) {
        const auto place = existing_part(path);
        struct stat about{};
        struct statvfs space{};
        if (::stat(place.c_str(), &about) != 0 || ::statvfs(place.c_str(), &space) != 0)
            throw_errno(fmt::format("cannot look at {}", place));
        struct statfs kind{};
        compressed = compressed || (::statfs(place.c_str(), &kind) == 0 && may_compress(static_cast<std::uint32_t>(kind.f_type)));
        if (devices.insert(about.st_dev).second) free_bytes += space.f_bavail * space.f_frsize;
        if (holds_ != Holds::nothing) held += bytes_on_disk(path);
    }
    room_ = free_bytes + held;
    if (room_ >= bytes) return {};
    auto text = fmt::format("the backup needs {} MiB, {} has {} MiB free", bytes >> 20, root_, room_ >> 20);
    if (!compressed) throw Error(ErrorKind::refused, text, "nothing was written; restore to a larger file system");
    room_ = bytes;
    return text + ", on a file system that may compress: whether it fits is seen when it is written";
}

void RestoreTarget::prepare() {
    std::error_code error;
    fs::create_directories(fs::path(root_).parent_path(), error);
    make_folder(root_);
    folders_.insert(root_);
}

void RestoreTarget::begin() {
    const auto control = root_ + "/" + std::string(control_member);
    const auto pending = root_ + "/" + std::string(control_pending);
    if (holds_ == Holds::cluster) {
        const bool first_try = ::rename(control.c_str(), pending.c_str()) == 0;
        if (!first_try && errno != ENOENT) throw_errno(fmt::format("cannot rename {}", control));
        // A key, for one, stays root's. Of a second try it cannot be told any more.
        if (first_try && ::geteuid() == 0) each_of_root([this](const std::string& path) { roots_own_.insert(path); });
    }
    std::error_code error;
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
    for (const auto& [name, location] : tablespaces_)
        make_tablespace_link(fmt::format("{}/{}{}", root_, tablespace_prefix, name), location);
}

/// Where a member goes. A tablespace's files go to its folder by name, not through the link.
std::string RestoreTarget::resolve(std::string_view member) const {
    const auto relative = relative_member(member);
    if (relative.starts_with(tablespace_prefix)) {
        const auto rest = std::string_view(relative).substr(tablespace_prefix.size());
        const auto name = rest.substr(0, rest.find('/'));
        if (const auto found = tablespaces_.find(name); found != tablespaces_.end())
            return found->second + std::string(rest.substr(name.size()));
    }
    if (relative == control_member) return root_ + "/" + std::string(control_pending);
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
        const bool below_root = folder.starts_with(root_ + "/");
        const bool link_stays =
            holds_ == Holds::cluster && below_root && may_be_link(std::string_view(folder).substr(root_.size() + 1));
        if (holds_ == Holds::cluster) make_way_for_folder(folder, link_stays);
        if (!link_stays) require_folder(folder);
        folders_.insert(folder);
    }
}

RestoredFile RestoreTarget::create_file(std::string_view member, unsigned mode) {
    const auto path = resolve(member);
    if (path == root_) throw Error(ErrorKind::corrupt, "a file stands where the data directory itself should be");
    make_parents(path);
    claim(member, path);
    return RestoredFile({path, mode, holds_ == Holds::cluster, false, write_out_});
}

RestoredFile RestoreTarget::open_pages(std::string_view member, unsigned mode, std::uint64_t bytes) {
    const auto path = resolve(member);
    make_parents(path);
    claim(member, path);
    RestoredFile file({path, mode, holds_ == Holds::cluster, true, write_out_});
    file.set_size(bytes);
    return file;
}

/// Whoever owned it: a file that nobody but the server reads is the server's.
void RestoreTarget::claim(std::string_view member, const std::string& path) {
    const auto relative = relative_member(member);
    if (relative != "PG_VERSION" && !is_server_folder(std::string_view(relative).substr(0, relative.find('/')))) return;
    const std::lock_guard lock(mutex_);
    roots_own_.erase(path);
}

std::uint64_t RestoreTarget::file_bytes(std::string_view member) const {
    struct stat about{};
    return ::lstat(resolve(member).c_str(), &about) == 0 && S_ISREG(about.st_mode) ? static_cast<std::uint64_t>(about.st_size)
                                                                                   : 0;
}

void RestoreTarget::create_folder(std::string_view member, unsigned mode) {
    const auto path = resolve(member);
    make_parents(path + "/x");
    // Until everything is in it, it stays open to us.
    if (::chmod(path.c_str(), (mode & 07777) | 0700) != 0) throw_errno(fmt::format("cannot set the mode of {}", path));
    if ((mode & 0700) == 0700) return;
    const std::lock_guard lock(mutex_);
    folder_modes_[path] = mode & 07777;
}

void RestoreTarget::create_link(std::string_view member, std::string link_target) {
    const auto relative = relative_member(member);
    const auto top = std::string_view(relative).substr(0, relative.find('/'));
    const bool in_server_folder = top.size() < relative.size() && is_server_folder(top);
    // WAL-G notes of a link its own name alone, and packs nothing of what it led to.
    const bool lost = std::filesystem::path(relative).filename() == link_target;
    if (in_server_folder && !lost)
        throw Error(ErrorKind::corrupt, fmt::format("{} is a link to '{}' where PostgreSQL has none", member, link_target),
                    "the backup was tampered with, or somebody replaced files of the cluster by links");
    const std::lock_guard lock(mutex_);
    if (lost) lost_links_.push_back(relative);
    if (!in_server_folder) links_.emplace_back(root_ + "/" + relative, std::move(link_target));
}

void RestoreTarget::sync_all() const {
    for (const auto& folder : places()) {
        const auto fd = open_file(folder, O_RDONLY | O_DIRECTORY);
        if (::syncfs(fd.get()) != 0) throw_errno(fmt::format("cannot write the file system of {} out", folder));
    }
}

void RestoreTarget::make_link(const std::string& path, const std::string& target) const {
    if (::symlink(target.c_str(), path.c_str()) == 0) return;
    if (errno != EEXIST) throw_errno(fmt::format("cannot make link {}", path));
    std::error_code error;
    // A cluster that is brought up may have something else there. WAL-G's links tell their own names alone, which is no better.
    const bool stays = holds_ != Holds::cluster || fs::is_directory(fs::symlink_status(path, error)) ||
                       fs::read_symlink(path, error) == target || fs::path(path).filename() == target;
    if (stays) return;
    if (::unlink(path.c_str()) != 0 || ::symlink(target.c_str(), path.c_str()) != 0)
        throw_errno(fmt::format("cannot make link {}", path));
}

bool RestoreTarget::belongs_to_root() const {
    struct stat about{};
    return ::geteuid() == 0 && ::stat(root_.c_str(), &about) == 0 && about.st_uid == 0;
}

void RestoreTarget::each_of_root(const std::function<void(const std::string& path)>& visit) const {
    auto look = [&visit](const std::string& path) {
        struct stat about{};
        if (::lstat(path.c_str(), &about) == 0 && about.st_uid == 0) visit(path);
    };
    auto folders = places();
    for (const auto& entry : fs::directory_iterator(root_))
        if (is_server_folder(entry.path().filename().string()) && entry.is_symlink() && entry.is_directory())
            folders.push_back(fs::canonical(entry.path()).string());
    for (const auto& folder : folders) {
        look(folder);
        for (fs::recursive_directory_iterator at(folder), end; at != end; ++at) {
            if (folder != root_ && at.depth() == 0 && at->path().filename() == of_file_system)
                at.disable_recursion_pending();
            else
                look(at->path().string());
        }
    }
}

/// The folder is PostgreSQL's user's, who cannot open what root made in it.
void RestoreTarget::give_to_owner() const {
    struct stat owner{};
    if (::stat(root_.c_str(), &owner) != 0) throw_errno(fmt::format("cannot look at {}", root_));
    each_of_root([&](const std::string& path) {
        if (roots_own_.contains(path)) return;
        if (::lchown(path.c_str(), owner.st_uid, owner.st_gid) != 0) throw_errno(fmt::format("cannot set the owner of {}", path));
    });
}

void RestoreTarget::finish(const Finish& how) {
    for (const auto& [path, target] : links_) make_parents(path); // before any link is made, so that none is among them
    for (const auto& [path, target] : links_) make_link(path, target);
    struct stat about{};
    // A backup made while pg_wal was a link has none (WAL-G leaves such links out); PostgreSQL does not start without it.
    if (::lstat((root_ + "/pg_wal").c_str(), &about) != 0) make_folder(root_ + "/pg_wal");
    for (const auto& [path, mode] : folder_modes_) {
        if (::chmod(path.c_str(), mode) != 0) throw_errno(fmt::format("cannot set the mode of {}", path));
    }
    if (::geteuid() == 0 && !belongs_to_root()) give_to_owner();
    const auto pending = root_ + "/" + std::string(control_pending);
    const auto control = root_ + "/" + std::string(control_member);
    const bool has_control = ::access(pending.c_str(), F_OK) == 0;
    if (how.control && !has_control)
        throw Error(ErrorKind::corrupt, "the backup has no global/pg_control in it", "restore another backup: walg backup-list");
    if (how.fsync) sync_all();
    if (has_control && ::rename(pending.c_str(), control.c_str()) != 0)
        throw_errno(fmt::format("cannot rename {} to {}", pending, control));
    if (!how.fsync) return;
    if (has_control) sync_folder(root_ + "/global");
    sync_folder(root_);
    sync_folder(fs::path(root_).parent_path().string());
}

} // namespace walgd::backup
