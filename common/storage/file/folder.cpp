#include "common/storage/file/folder.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <random>
#include <regex>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::storage {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view temporary_folder = "walgd_005/tmp";
/// Each page reads the whole folder: few large pages.
constexpr std::size_t page_objects = 20'000;

std::string random_name() {
    thread_local std::mt19937_64 dice{std::random_device{}()};
    return fmt::format("{:016x}", dice());
}

ObjectInfo info_of(ObjectKey key, const struct stat& about) {
    ObjectInfo info;
    info.key = std::move(key);
    info.bytes = static_cast<std::uint64_t>(about.st_size);
    info.modified = Modified(std::chrono::seconds(about.st_mtim.tv_sec) + std::chrono::nanoseconds(about.st_mtim.tv_nsec));
    info.etag = fmt::format("{:x}-{:x}-{:x}", about.st_ino, about.st_size, info.modified.time_since_epoch().count());
    return info;
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

bool is_walg_temporary(std::string_view name) {
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

/// What root makes belongs to whom the archive belongs: PostgreSQL's user goes on in it.
void Folder::give_to_owner(const std::string& path) const {
    struct stat root{};
    if (::geteuid() != 0 || ::stat(root_.c_str(), &root) != 0) return;
    if (::chown(path.c_str(), root.st_uid, root.st_gid) != 0)
        throw_errno(fmt::format("cannot give {} to the owner of {}", path, root_));
}

/// Every folder that is made is made durable in the one above.
void Folder::make_parents(const std::string& path) const {
    const auto parent = fs::path(path).parent_path();
    if (fs::is_directory(parent)) return;
    std::vector<fs::path> missing;
    for (auto folder = parent; folder != root_ && !fs::is_directory(folder); folder = folder.parent_path())
        missing.push_back(folder);
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
    temporary.path = fmt::format("{}/{}/{}", root_, temporary_folder, random_name());
    make_parents(temporary.path);
    // Read too: an upload's pieces may be looked at again.
    temporary.fd = open_file(temporary.path, O_RDWR | O_CREAT | O_EXCL, 0666);
    give_to_owner(temporary.path);
    // Says that its writer lives: remove_old_temporaries() leaves it alone.
    ::flock(temporary.fd.get(), LOCK_EX | LOCK_NB);
    return temporary;
}

PutOutcome Folder::publish(Temporary temporary, const ObjectKey& key, bool if_absent) const {
    const auto path = path_of(key);
    auto outcome = PutOutcome::stored;
    try {
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
                if (attempt == 3 || fs::is_directory(fs::path(path).parent_path())) throw;
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
    return info_of(key, about);
}

namespace {

struct Entry {
    std::string path; ///< relative to the root; folders with a trailing slash
    bool folder;
};

/// The entries of one folder whose names begin with `prefix`, unsorted; none if it is not there.
std::vector<Entry> entries_of(const std::string& root, const std::string& folder, std::string_view prefix = {}) {
    std::vector<Entry> entries;
    std::error_code error;
    fs::directory_iterator iterator(root + "/" + folder, error);
    if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) return entries;
    if (error) throw_errno(fmt::format("cannot list {}/{}", root, folder), error.value());
    for (; iterator != fs::directory_iterator(); iterator.increment(error)) {
        const auto name = iterator->path().filename().string();
        if (!name.starts_with(prefix)) continue;
        std::error_code gone;
        if (iterator->is_directory(gone))
            entries.push_back({folder + name + "/", true});
        else if (iterator->is_regular_file(gone) && !is_walg_temporary(name))
            entries.push_back({folder + name, false});
    }
    if (error) throw Error(ErrorKind::failed, fmt::format("cannot list {}/{}: {}", root, folder, error.message()));
    return entries;
}

void collect(const std::string& root, const std::string& folder, std::string_view prefix, std::vector<std::string>& files) {
    for (const auto& entry : entries_of(root, folder, prefix)) {
        if (!entry.folder)
            files.push_back(entry.path);
        else if (entry.path != std::string(temporary_folder) + "/")
            collect(root, entry.path, {}, files);
    }
}

} // namespace

ListPage Folder::list(const std::string& folder, const ListOptions& options) const {
    check_root();
    ListPage page;
    std::vector<std::string> files;
    if (options.recursive)
        collect(root_, folder, options.name_prefix, files);
    else {
        for (const auto& entry : entries_of(root_, folder, options.name_prefix)) {
            if (!entry.folder)
                files.push_back(entry.path);
            else if (!options.token)
                page.folders.push_back(entry.path);
        }
    }
    const auto after = options.token.value_or(options.after.empty() ? std::string() : folder + options.after);
    std::erase_if(files, [&](const std::string& path) { return path <= after; });
    std::erase_if(page.folders, [&](const std::string& path) { return path <= after; });
    std::ranges::sort(files);
    std::ranges::sort(page.folders);
    auto file = files.begin();
    for (; file != files.end() && page.objects.size() < page_objects; ++file) {
        // Removed since it was listed: not there.
        if (auto info = stat(ObjectKey(*file))) page.objects.push_back(std::move(*info));
    }
    if (file != files.end()) page.next = *std::prev(file);
    return page;
}

void Folder::remove(const ObjectKey& key) const {
    const auto path = path_of(key);
    if (::unlink(path.c_str()) != 0) {
        if (errno != ENOENT && errno != ENOTDIR) throw_errno(fmt::format("cannot remove {}", path));
        check_root();
        return;
    }
    auto folder = fs::path(path).parent_path();
    sync_folder(folder.string());
    for (; folder != root_ && ::rmdir(folder.c_str()) == 0; folder = folder.parent_path()) {
    }
}

std::size_t Folder::remove_old_temporaries(std::chrono::seconds age) const {
    std::size_t removed = 0;
    const auto oldest = std::chrono::system_clock::now() - age;
    for (const auto& entry : entries_of(root_, std::string(temporary_folder) + "/")) {
        const auto info = entry.folder ? std::nullopt : stat(ObjectKey(entry.path));
        if (!info || info->modified > oldest) continue;
        const auto path = root_ + "/" + entry.path;
        const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) continue; // gone, or being written
        if (::unlink(path.c_str()) == 0) ++removed;
    }
    return removed;
}

} // namespace walgd::storage
