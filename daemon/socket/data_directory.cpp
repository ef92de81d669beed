#include "daemon/socket/data_directory.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/pg/wal_name.hpp"
#include "daemon/socket/printable.hpp"

#include <algorithm>
#include <atomic>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::daemon {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view ready = ".ready";

[[noreturn]] void refuse(std::string_view path, std::string_view why) {
    throw Error(ErrorKind::refused, fmt::format("'{}' {}", printable(path), why),
                "WAL-G's clients name files of the data directory: archive_command passes %f, restore_command %f and %p");
}

/// `path` as seen from `folder`; nothing when it lies elsewhere.
std::optional<std::string> below(const std::string& path, std::string folder) {
    while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
    if (folder.empty() || !path.starts_with(folder + "/")) return std::nullopt;
    return path.substr(folder.size() + 1);
}

bool exists_at(int folder, const std::string& name) {
    struct stat about{};
    if (::fstatat(folder, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0) return true;
    if (errno != ENOENT) throw_errno(fmt::format("cannot look at {}", name));
    return false;
}

/// The .partial and .backup files of `segment` that PostgreSQL wants archived.
std::vector<std::string> ready_companions(int pg_wal, const std::string& segment) {
    std::vector<std::string> names;
    UniqueFd folder(::openat(pg_wal, "archive_status", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder && errno == ENOENT) return names;
    if (!folder) throw_errno("cannot open pg_wal/archive_status");
    const std::unique_ptr<DIR, FreeWith<&::closedir>> entries(::fdopendir(folder.get()));
    if (!entries) throw_errno("cannot read pg_wal/archive_status");
    static_cast<void>(folder.release());
    while (const auto* entry = ::readdir(entries.get())) {
        std::string name = entry->d_name;
        if (!name.starts_with(segment + ".") || !name.ends_with(ready)) continue;
        name.resize(name.size() - ready.size());
        if (pg::wal_file_kind(name)) names.push_back(name);
    }
    std::ranges::sort(names);
    return names;
}

/// What is asked for by `name`, which may have been cut to the segment's.
std::vector<std::string> names_asked_for(int pg_wal, const std::string& name) {
    std::vector<std::string> names{name};
    if (pg::wal_file_kind(name) != pg::WalFileKind::segment) return names;
    if (exists_at(pg_wal, fmt::format("archive_status/{}{}", name, ready))) return names;
    const auto companions = ready_companions(pg_wal, name);
    // A segment that became .partial at a promotion is not there any more.
    if (!companions.empty() && !exists_at(pg_wal, name)) names.clear();
    names.insert(names.end(), companions.begin(), companions.end());
    return names;
}

} // namespace

NewFile::NewFile(UniqueFd folder, std::string name) : folder_(std::move(folder)), name_(std::move(name)) {
    static std::atomic<unsigned> counter = 0;
    if (exists_at(folder_.get(), name_))
        throw Error(ErrorKind::refused, fmt::format("{} is there already", printable(name_)),
                    "remove it first, or name another destination");
    temporary_ = fmt::format(".walgd.{}.{}.{}", name_, ::getpid(), counter++);
    ::unlinkat(folder_.get(), temporary_.c_str(), 0); // of one that was killed, and had our process id
    fd_ = UniqueFd(::openat(folder_.get(), temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd_) throw_errno(fmt::format("cannot create {}", printable(temporary_)));
}

NewFile::~NewFile() {
    if (folder_) ::unlinkat(folder_.get(), temporary_.c_str(), 0);
}

void NewFile::finish() {
    if (::renameat2(folder_.get(), temporary_.c_str(), folder_.get(), name_.c_str(), RENAME_NOREPLACE) != 0)
        throw_errno(fmt::format("cannot rename {} to {}", temporary_, name_));
    const auto folder = std::move(folder_);
    sync_file(folder.get(), fmt::format("the folder of {}", name_));
}

DataDirectory::DataDirectory(const std::string& path) {
    if (path.empty())
        throw Error(ErrorKind::misconfigured, "WAL-G's protocol cannot be served: the data directory is not known",
                    "set PGDATA (pgdata in the file), or leave WALGD_WALG_SOCKET empty");
    path_ = fs::absolute(path).string();
}

std::vector<std::string> DataDirectory::parts_of(std::string_view path) const {
    if (path.find('\0') != std::string_view::npos) refuse(path.substr(0, path.find('\0')), "goes on after a zero byte");
    for (const auto& part : fs::path(path)) {
        if (part == "..") refuse(path, "leads out of its folder");
    }
    auto text = fs::path(path).lexically_normal().string();
    if (text.starts_with('/')) {
        std::error_code not_there;
        auto inside = below(text, path_);
        if (!inside) inside = below(text, fs::canonical(path_, not_there).string());
        if (!inside) {
            inside = below(text, fs::canonical(path_ + "/pg_wal", not_there).string());
            if (inside) inside = "pg_wal/" + *inside;
        }
        if (!inside) refuse(path, fmt::format("is not inside {}", path_));
        text = *inside;
    }
    std::vector<std::string> parts;
    for (const auto& part : fs::path(text)) parts.push_back(part.string());
    if (parts.empty() || parts.back().empty() || parts.back() == ".") refuse(path, "names no file");
    return parts;
}

UniqueFd DataDirectory::open_folder(const std::vector<std::string>& parts, const std::string& path) const {
    auto folder = open_file(path_, O_RDONLY | O_DIRECTORY);
    for (std::size_t index = 0; index < parts.size(); ++index) {
        // initdb --waldir makes pg_wal a link. Other links lead to tablespaces, or are not the cluster's.
        const int follow = index == 0 && parts[0] == "pg_wal" ? 0 : O_NOFOLLOW;
        UniqueFd next(::openat(folder.get(), parts[index].c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | follow));
        if (!next) throw_errno(fmt::format("cannot open the folder of {} in {}", printable(path), path_));
        folder = std::move(next);
    }
    return folder;
}

std::vector<WalFile> DataDirectory::open_wal(std::string_view path) const {
    const bool bare = path.find('/') == std::string_view::npos;
    auto parts = parts_of(path);
    if (bare) parts.insert(parts.begin(), "pg_wal");
    if (parts.size() != 2 || parts[0] != "pg_wal" || !pg::wal_file_kind(parts[1])) refuse(path, "is no WAL file of pg_wal");
    const auto folder = open_folder({parts[0]}, parts[1]);
    std::vector<WalFile> files;
    for (const auto& name : names_asked_for(folder.get(), parts[1])) {
        // Not blocking, should somebody have put a pipe there.
        UniqueFd fd(::openat(folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        if (!fd) throw_errno(fmt::format("cannot open {}/pg_wal/{}", path_, name));
        files.push_back({name, std::move(fd)});
    }
    return files;
}

NewFile DataDirectory::create(std::string_view path) const {
    auto parts = parts_of(path);
    const auto name = parts.back();
    parts.pop_back();
    return NewFile(open_folder(parts, std::string(path)), name);
}

} // namespace walgd::daemon
