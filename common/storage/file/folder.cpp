#include "common/storage/file/folder.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/storage/file/attributes.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <random>
#include <regex>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::storage {

namespace fs = std::filesystem;

namespace {

std::string random_name() {
    thread_local std::mt19937_64 dice{std::random_device{}()};
    return fmt::format("{:016x}", dice());
}

/// link(2) and friends without replacing. False: something has that name.
bool link_exclusively(const std::string& from, const std::string& to) {
    if (::link(from.c_str(), to.c_str()) == 0) {
        ::unlink(from.c_str());
        return true;
    }
    if (errno == EEXIST) return false;
    // File systems without hard links.
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
        throw_errno(fmt::format("cannot link {} to {}", from, to));
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
    if (errno == EEXIST) return false;
    throw_errno(fmt::format("cannot rename {} to {} without replacing", from, to), errno,
                "this file system has neither links nor exclusive renames; use another one");
}

} // namespace

ObjectInfo info_of(ObjectKey key, const struct stat& about) {
    ObjectInfo info;
    info.key = std::move(key);
    info.bytes = static_cast<std::uint64_t>(about.st_size);
    info.modified = Modified(std::chrono::seconds(about.st_mtim.tv_sec) + std::chrono::nanoseconds(about.st_mtim.tv_nsec));
    info.etag = fmt::format("{:x}-{:x}-{:x}", about.st_ino, about.st_size, info.modified.time_since_epoch().count());
    return info;
}

bool is_walg_temporary(std::string_view name) {
    if (name.find(".tmp.") == std::string_view::npos) return false; // a million names are no WAL-G's
    static const std::regex pattern(R"(\.tmp\.\d{8}T\d{6}Z-[0-9a-f]{16}$)");
    return std::regex_search(name.begin(), name.end(), pattern);
}

void Folder::check_root() const {
    std::error_code error;
    if (!fs::is_directory(root_, error))
        throw Error(
            ErrorKind::misconfigured, fmt::format("FS storage root directory doesn't exist or is inaccessible: {}", root_),
            "is it mounted? walgd does not make it, so that an archive that is not mounted is not taken for an empty one");
}

std::string Folder::path_of(const ObjectKey& key) const {
    const auto& path = key.path();
    bool fine = !path.empty() && path.front() != '/' && path.back() != '/' && path.find('\0') == std::string::npos;
    for (const auto& part : fs::path(path)) fine = fine && part != ".." && part != "." && !part.empty();
    if (!fine) throw Error(ErrorKind::misconfigured, fmt::format("'{}' cannot be the name of an object", path));
    return root_ + "/" + path;
}

/// What root makes belongs to whom the archive belongs: PostgreSQL's user goes on in it. No link is followed that they may have
/// put there meanwhile.
void Folder::give_to_owner(const std::string& path) const {
    struct stat root{};
    if (::geteuid() != 0 || ::stat(root_.c_str(), &root) != 0) return;
    if (::lchown(path.c_str(), root.st_uid, root.st_gid) != 0)
        throw_errno(fmt::format("cannot give {} to the owner of {}", path, root_));
}

namespace {

/// Error where it cannot be told: the standard library's exception would pass those by who handle Errors.
bool is_folder(const fs::path& path) {
    std::error_code error;
    const bool is = fs::is_directory(path, error);
    if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory)
        throw_errno(fmt::format("cannot look at {}", path.string()), error.value());
    return is;
}

} // namespace

/// Every folder that is made is made durable in the one above.
void Folder::make_parents(const std::string& path) const {
    const auto parent = fs::path(path).parent_path();
    if (is_folder(parent)) return;
    std::vector<fs::path> missing;
    for (auto folder = parent; folder != root_ && !is_folder(folder); folder = folder.parent_path()) missing.push_back(folder);
    check_root();
    for (auto folder = missing.rbegin(); folder != missing.rend(); ++folder) {
        if (::mkdir(folder->c_str(), 0777) != 0 && errno != EEXIST)
            throw_errno(fmt::format("cannot make folder {}", folder->string()));
        give_to_owner(folder->string());
        sync_folder(folder->parent_path().string());
    }
}

Folder::Temporary Folder::create_temporary() const {
    Temporary temporary;
    temporary.path = fmt::format("{}/{}{}", root_, temporary_folder, random_name());
    make_parents(temporary.path);
    // Read too: an upload's pieces may be looked at again.
    temporary.fd = open_file(temporary.path, O_RDWR | O_CREAT | O_EXCL, 0666);
    give_to_owner(temporary.path);
    // Says that its writer lives: remove_old_temporaries() leaves it alone.
    ::flock(temporary.fd.get(), LOCK_EX | LOCK_NB);
    return temporary;
}

PutOutcome Folder::publish(Temporary temporary, const ObjectKey& key, bool if_absent) const {
    auto outcome = PutOutcome::stored;
    try {
        const auto path = path_of(key);
        sync_file(temporary.fd.get(), temporary.path);
        const UniqueFd lock(::fcntl(temporary.fd.get(), F_DUPFD_CLOEXEC, 0)); // until it has its name
        temporary.fd.close(temporary.path);
        // A remove() of the folder's last object may take the folder away in between.
        for (int attempt = 0;; ++attempt) {
            make_parents(path);
            try {
                if (if_absent) {
                    if (!link_exclusively(temporary.path, path)) outcome = PutOutcome::exists;
                } else if (::rename(temporary.path.c_str(), path.c_str()) != 0)
                    throw_errno(fmt::format("cannot rename {} to {}", temporary.path, path));
                break;
            } catch (const Error&) {
                if (attempt == 3 || is_folder(fs::path(path).parent_path())) throw;
            }
        }
        if (outcome == PutOutcome::exists) ::unlink(temporary.path.c_str());
        // Also when it exists: the one who made it may not have got this far, and we vouch for it now.
        sync_folder(fs::path(path).parent_path().string());
    } catch (...) {
        ::unlink(temporary.path.c_str());
        throw;
    }
    return outcome;
}

std::optional<ObjectInfo> Folder::stat(const ObjectKey& key) const {
    const auto path = path_of(key);
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0) {
        if (errno != ENOENT && errno != ENOTDIR) throw_errno(fmt::format("cannot look at {}", path));
        check_root();
        return std::nullopt;
    }
    if (!S_ISREG(about.st_mode)) return std::nullopt;
    auto info = info_of(key, about);
    info.metadata = metadata_of(path);
    return info;
}

void Folder::settle(const ObjectKey& key) const {
    const auto parent = fs::path(path_of(key)).parent_path().string();
    const UniqueFd folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder || ::fsync(folder.get()) == 0 || errno == EINVAL || errno == EROFS) return;
    throw_errno(fmt::format("cannot fsync {}", parent));
}

std::optional<ObjectInfo> Folder::stat(const ObjectKey& key, int fd) const {
    struct stat about{};
    if (::fstat(fd, &about) != 0) throw_errno(fmt::format("cannot look at {}", path_of(key)));
    if (!S_ISREG(about.st_mode)) return std::nullopt;
    auto info = info_of(key, about);
    info.metadata = metadata_of(fd);
    return info;
}

ListPage Folder::list(const std::string& folder, const ListOptions& options) const {
    check_root();
    return listings_.list(root_, folder, options);
}

namespace {

/// Removes a file's name, not yet durably.
void unlink_object(const std::string& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT && errno != ENOTDIR) throw_errno(fmt::format("cannot remove {}", path));
}

/// Removes folders that are left empty, up to the root.
void remove_empty(fs::path folder, const std::string& root) {
    for (; folder != root && ::rmdir(folder.c_str()) == 0; folder = folder.parent_path()) {
    }
}

} // namespace

std::vector<RemoveFailure> Folder::remove(const std::vector<ObjectKey>& keys) const {
    std::vector<RemoveFailure> failures;
    std::map<std::string, std::vector<const ObjectKey*>> folders; ///< with what was removed of each
    for (const auto& key : keys) {
        try {
            check_root();
            const auto path = path_of(key);
            unlink_object(path);
            folders[fs::path(path).parent_path().string()].push_back(&key);
        } catch (const Error& error) {
            failures.push_back({key, error});
        }
    }
    // The inner ones first: a folder that goes leaves the one above empty.
    for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
        try {
            std::error_code unknown;
            if (fs::exists(folder->first, unknown) || unknown) sync_folder(folder->first);
            remove_empty(folder->first, root_);
        } catch (const Error& error) {
            for (const auto* key : folder->second) failures.push_back({*key, error});
        }
    }
    return failures;
}

std::size_t Folder::remove_old_temporaries(std::chrono::seconds age) const {
    std::size_t removed = 0;
    const auto oldest = std::chrono::system_clock::now() - age;
    std::vector<std::string> names;
    for_each_entry(fmt::format("{}/{}", root_, temporary_folder), [&](std::string_view name, bool is_folder) {
        if (!is_folder) names.emplace_back(name);
    });
    for (const auto& name : names) {
        const auto info = stat(ObjectKey(std::string(temporary_folder) + name));
        if (!info || info->modified > oldest) continue;
        const auto path = fmt::format("{}/{}{}", root_, temporary_folder, name);
        const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) continue; // gone, or being written
        if (::unlink(path.c_str()) == 0) ++removed;
    }
    return removed;
}

} // namespace walgd::storage
