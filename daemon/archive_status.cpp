#include "daemon/archive_status.hpp"

#include "common/base/files.hpp"
#include "common/pg/wal_name.hpp"

#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <sys/inotify.h>
#include <unistd.h>

namespace walgd::daemon {

namespace {

constexpr std::string_view ready_suffix = ".ready";
constexpr std::size_t events_bytes = 64 << 10;

/// The WAL file's name, if this is its .ready.
std::optional<std::string> ready_name(std::string_view file) {
    if (!file.ends_with(ready_suffix)) return std::nullopt;
    file.remove_suffix(ready_suffix.size());
    if (!pg::wal_file_kind(file)) return std::nullopt;
    return std::string(file);
}

int watch(const std::string& folder) {
    const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd < 0) throw_errno("cannot watch pg_wal/archive_status");
    const auto events = IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
    if (::access(folder.c_str(), R_OK | X_OK) != 0 || ::inotify_add_watch(fd, folder.c_str(), events) < 0) {
        const int number = errno;
        ::close(fd);
        throw Error(ErrorKind::misconfigured, fmt::format("cannot watch {}: {}", folder, std::strerror(number)),
                    "is PGDATA this cluster's, and may walgd's user read it? Without it WAL is stored only when PostgreSQL asks");
    }
    return fd;
}

} // namespace

ArchiveStatus::ArchiveStatus(asio::any_io_executor io, const std::string& pgdata)
    : pg_wal_(pgdata + "/pg_wal"), folder_(pg_wal_ + "/archive_status"), inotify_(io, watch(folder_)) {}

awaitable<ArchiveStatus::Changes> ArchiveStatus::next() {
    std::vector<std::byte> events(events_bytes);
    const auto [error, count] =
        co_await inotify_.async_read_some(asio::buffer(events.data(), events.size()), asio::as_tuple(asio::use_awaitable));
    if (error == asio::error::operation_aborted) throw Error(ErrorKind::cancelled, "cancelled while waiting");
    if (error) throw Error(ErrorKind::transient, fmt::format("cannot watch {}: {}", folder_, error.message()));
    co_return parse(ByteView(events.data(), count));
}

ArchiveStatus::Changes ArchiveStatus::parse(ByteView events) const {
    Changes found;
    while (events.size() >= sizeof(inotify_event)) {
        inotify_event event{};
        std::memcpy(&event, events.data(), sizeof event);
        const auto* text = reinterpret_cast<const char*>(events.data() + sizeof event);
        const std::string_view file(text, ::strnlen(text, event.len));
        events = events.subspan(sizeof event + event.len);
        if ((event.mask & IN_Q_OVERFLOW) != 0) found.lost = true;
        if ((event.mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) != 0)
            throw Error(ErrorKind::transient, fmt::format("{} went away", folder_));
        if (auto name = ready_name(file))
            found.changes.push_back({std::move(*name), (event.mask & (IN_CREATE | IN_MOVED_TO)) != 0});
    }
    return found;
}

std::vector<std::string> ArchiveStatus::scan() const {
    const std::unique_ptr<DIR, FreeWith<&::closedir>> folder(::opendir(folder_.c_str()));
    if (!folder) throw_errno(fmt::format("cannot read {}", folder_));
    std::vector<std::string> names;
    errno = 0;
    while (const auto* entry = ::readdir(folder.get())) {
        if (auto name = ready_name(entry->d_name)) names.push_back(std::move(*name));
        errno = 0;
    }
    if (errno != 0) throw_errno(fmt::format("cannot read {}", folder_));
    return names;
}

bool ArchiveStatus::is_ready(const std::string& name) const {
    return ::access(fmt::format("{}/{}{}", folder_, name, ready_suffix).c_str(), F_OK) == 0;
}

UniqueFd ArchiveStatus::open(const std::string& name) const {
    // Nothing but a file belongs there, so nothing else is followed or waited for.
    const auto path = fmt::format("{}/{}", pg_wal_, name);
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd && errno != ENOENT) throw_errno(fmt::format("cannot open {}", path));
    return fd;
}

bool ArchiveStatus::mark_done(const std::string& name) const {
    const auto ready = fmt::format("{}/{}{}", folder_, name, ready_suffix), done = fmt::format("{}/{}.done", folder_, name);
    if (::rename(ready.c_str(), done.c_str()) == 0) return true;
    if (errno != ENOENT) throw_errno(fmt::format("cannot rename {} to {}", ready, done));
    return false;
}

} // namespace walgd::daemon
