#include "common/pg/ready_files.hpp"

#include "common/base/error.hpp"
#include "common/pg/wal_name.hpp"

#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::pg {

namespace {

constexpr std::string_view ready_suffix = ".ready";

} // namespace

ReadyFiles::ReadyFiles(std::string pg_wal) : pg_wal_(std::move(pg_wal)), folder_(pg_wal_ + "/archive_status") {}

std::optional<std::string> ReadyFiles::ready_name(std::string_view file) {
    if (!file.ends_with(ready_suffix)) return std::nullopt;
    file.remove_suffix(ready_suffix.size());
    if (!wal_file_kind(file)) return std::nullopt;
    return std::string(file);
}

std::vector<std::string> ReadyFiles::scan() const {
    const std::unique_ptr<DIR, FreeWith<&::closedir>> opened(::opendir(folder_.c_str()));
    if (!opened) throw_errno(fmt::format("cannot read {}", folder_));
    std::vector<std::string> names;
    errno = 0;
    while (const auto* entry = ::readdir(opened.get())) {
        if (auto name = ready_name(entry->d_name)) names.push_back(std::move(*name));
        errno = 0;
    }
    if (errno != 0) throw_errno(fmt::format("cannot read {}", folder_));
    return names;
}

bool ReadyFiles::is_ready(const std::string& name) const {
    return ::access(fmt::format("{}/{}{}", folder_, name, ready_suffix).c_str(), F_OK) == 0;
}

UniqueFd ReadyFiles::open(const std::string& name) const {
    // Nothing but a file belongs there, so nothing else is followed or waited for.
    const auto path = fmt::format("{}/{}", pg_wal_, name);
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd && errno != ENOENT) throw_errno(fmt::format("cannot open {}", path));
    return fd;
}

bool ReadyFiles::is_still(const std::string& name, const struct stat& file) const {
    struct stat now{};
    if (::lstat(fmt::format("{}/{}", pg_wal_, name).c_str(), &now) != 0) return false;
    return now.st_dev == file.st_dev && now.st_ino == file.st_ino && now.st_size == file.st_size &&
           now.st_mtim.tv_sec == file.st_mtim.tv_sec && now.st_mtim.tv_nsec == file.st_mtim.tv_nsec;
}

bool ReadyFiles::mark_done(const std::string& name) const {
    const auto ready = fmt::format("{}/{}{}", folder_, name, ready_suffix), done = fmt::format("{}/{}.done", folder_, name);
    if (::rename(ready.c_str(), done.c_str()) == 0) return true;
    if (errno != ENOENT) throw_errno(fmt::format("cannot rename {} to {}", ready, done));
    return false;
}

} // namespace walgd::pg
