#include "daemon/socket/listener.hpp"

#include "common/base/error.hpp"

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <thread>
#include <unistd.h>

namespace walgd::daemon {

namespace {

constexpr std::chrono::seconds socket_look_every{1};

sockaddr_un address_of(const std::string& path, const std::string& setting) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        throw Error(ErrorKind::misconfigured, fmt::format("the socket's path {} is too long", path),
                    fmt::format("name a shorter one in {}", setting));
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

/// Does not wait, also where the other one does not take connections right now.
bool somebody_listens(const SocketPlace& place) {
    const auto address = address_of(place.path, place.setting);
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) throw_errno("cannot make a socket");
    return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN;
}

void check_folder_of(const SocketPlace& place) {
    const auto folder = std::filesystem::path(place.path).parent_path();
    std::error_code error;
    if (folder.empty() || std::filesystem::is_directory(folder, error)) return;
    throw Error(ErrorKind::misconfigured, fmt::format("the folder of the socket {} is not there", place.path),
                fmt::format("make it, for walgd's user: mkdir -p {0} && chown postgres: {0}; or name another socket in {1}",
                            folder.string(), place.setting));
}

/// Only what a dead daemon left behind is replaced.
void check_free(const SocketPlace& place) {
    struct stat about{};
    if (::lstat(place.path.c_str(), &about) == 0 && !S_ISSOCK(about.st_mode))
        throw Error(ErrorKind::refused, fmt::format("{} is there, and is no socket", place.path),
                    fmt::format("name another path in {}, or remove it", place.setting));
    if (somebody_listens(place))
        throw Error(ErrorKind::refused, fmt::format("a daemon is serving {} already", place.path),
                    fmt::format("stop it first, or give this one another {}", place.setting));
}

/// Of those that start at once, one looks and binds at a time, else each would find the place free and the last would have it.
/// Given up after a moment: anyone who reads the folder can lock it.
UniqueFd lock_folder_of(const SocketPlace& place) {
    constexpr int tries = 20;
    constexpr std::chrono::milliseconds between{10};
    const auto folder = std::filesystem::path(place.path).parent_path();
    UniqueFd fd(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int count = 0; fd && count < tries && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0; ++count)
        std::this_thread::sleep_for(between);
    return fd;
}

struct FreeNames {
    char** names = nullptr;
    ~FreeNames() {
        for (char** name = names; name != nullptr && *name != nullptr; ++name) std::free(*name);
        std::free(names);
    }
};

} // namespace

SystemdSockets SystemdSockets::take() {
    SystemdSockets sockets;
    FreeNames list;
    const int count = ::sd_listen_fds_with_names(1, &list.names);
    for (int index = 0; index < count; ++index) {
        const std::string name = list.names[index];
        auto& socket = name == "walg" ? sockets.walg : sockets.walgd;
        if (socket)
            throw Error(ErrorKind::misconfigured,
                        fmt::format("systemd passed {} sockets, the one called '{}' is more than walgd serves", count, name),
                        "keep one ListenStream= a unit; FileDescriptorName=walg is WAL-G's protocol, any other name walgd's own");
        socket = UniqueFd(SD_LISTEN_FDS_START + index);
    }
    return sockets;
}

Listener::Listener(SocketPlace place, UniqueFd inherited)
    : place_(std::move(place)), inherited_(static_cast<bool>(inherited)), fd_(std::move(inherited)) {
    if (!inherited_) bind();
}

void Listener::bind() {
    const auto temporary = fmt::format("{}.{}", place_.path, ::getpid());
    const auto address = address_of(temporary, place_.setting);
    check_folder_of(place_);
    const auto lock = lock_folder_of(place_);
    check_free(place_);
    UniqueFd made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!made) throw_errno("cannot make a socket");
    ::unlink(temporary.c_str());
    // Listening before it has its name: whoever finds it is served.
    if (::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw_errno(fmt::format("cannot bind {}", temporary));
    struct stat about{};
    if (::chmod(temporary.c_str(), 0660) != 0 || ::listen(made.get(), SOMAXCONN) != 0 || ::stat(temporary.c_str(), &about) != 0 ||
        ::rename(temporary.c_str(), place_.path.c_str()) != 0) {
        const int number = errno;
        ::unlink(temporary.c_str());
        throw_errno(fmt::format("cannot serve {}", place_.path), number);
    }
    device_ = about.st_dev;
    inode_ = about.st_ino;
    fd_ = std::move(made);
}

bool Listener::reachable() const {
    if (inherited_) return true;
    struct stat about{};
    return ::stat(place_.path.c_str(), &about) == 0 && about.st_dev == device_ && about.st_ino == inode_;
}

Listener::~Listener() {
    if (!inherited_ && reachable()) ::unlink(place_.path.c_str());
}

awaitable<void> keep_reachable(Listener& listener, std::function<void(int)> rebound, std::function<void(std::string)> tell) {
    std::string told;
    for (;;) {
        co_await sleep_for(socket_look_every);
        if (listener.reachable()) continue;
        try {
            listener.bind();
            rebound(listener.release());
            told.clear();
            tell("the socket was removed while walgd ran; it is bound anew");
        } catch (const std::exception&) {
            auto text = "the socket was removed, and no client reaches walgd: " + describe(std::current_exception());
            if (text != std::exchange(told, text)) tell(std::move(text));
        }
    }
}

} // namespace walgd::daemon
