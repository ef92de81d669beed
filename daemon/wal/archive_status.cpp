#include "daemon/wal/archive_status.hpp"

#include "common/base/error.hpp"

#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::daemon {

namespace {

constexpr std::size_t events_bytes = 64 << 10;

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
    : ReadyFiles(pgdata + "/pg_wal"), inotify_(io, watch(folder())) {
    struct stat about{};
    if (::stat(folder().c_str(), &about) != 0) throw_errno(fmt::format("cannot look at {}", folder()));
    device_ = about.st_dev;
    inode_ = about.st_ino;
}

bool ArchiveStatus::in_place() {
    struct stat about{};
    if (::stat(folder().c_str(), &about) == 0 && about.st_dev == device_ && about.st_ino == inode_) return true;
    gone_ = true;
    inotify_.cancel();
    return false;
}

awaitable<ArchiveStatus::Changes> ArchiveStatus::next() {
    const auto went_away = [this] { return Error(ErrorKind::transient, fmt::format("{} was moved away", folder())); };
    if (gone_) throw went_away();
    std::vector<std::byte> events(events_bytes);
    const auto [error, count] =
        co_await inotify_.async_read_some(asio::buffer(events.data(), events.size()), asio::as_tuple(asio::use_awaitable));
    if (gone_) throw went_away();
    if (error == asio::error::operation_aborted) throw Error(ErrorKind::cancelled, "cancelled while waiting");
    if (error) throw Error(ErrorKind::transient, fmt::format("cannot watch {}: {}", folder(), error.message()));
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
            throw Error(ErrorKind::transient, fmt::format("{} went away", folder()));
        if (auto name = ready_name(file))
            found.changes.push_back({std::move(*name), (event.mask & (IN_CREATE | IN_MOVED_TO)) != 0});
    }
    return found;
}

} // namespace walgd::daemon
