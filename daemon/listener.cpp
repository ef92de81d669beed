#include "daemon/listener.hpp"

#include "common/base/error.hpp"

#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

namespace walgd::daemon {

namespace {

constexpr std::chrono::seconds look_every{1};

sockaddr_un address_of(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        throw Error(ErrorKind::misconfigured, fmt::format("the socket's path {} is too long", path),
                    "name a shorter one in WALGD_SOCKET");
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

/// Does not wait, also where the other one does not take connections right now.
bool somebody_listens(const std::string& path) {
    const auto address = address_of(path);
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) throw_errno("cannot make a socket");
    return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 || errno == EAGAIN;
}

void check_folder_of(const std::string& path) {
    const auto folder = std::filesystem::path(path).parent_path();
    std::error_code error;
    if (folder.empty() || std::filesystem::is_directory(folder, error)) return;
    throw Error(
        ErrorKind::misconfigured, fmt::format("the folder of the socket {} is not there", path),
        fmt::format("make it, for walgd's user: mkdir -p {0} && chown postgres: {0}; or name another socket in WALGD_SOCKET",
                    folder.string()));
}

} // namespace

Listener::Listener(const std::string& path) : path_(path) {
    if (const int inherited = ::sd_listen_fds(1); inherited > 0) {
        if (inherited > 1)
            throw Error(ErrorKind::misconfigured, fmt::format("systemd passed {} sockets, walgd serves one", inherited),
                        "keep one ListenStream= in walgd.socket");
        fd_ = UniqueFd(SD_LISTEN_FDS_START);
        inherited_ = true;
        return;
    }
    bind();
}

void Listener::bind() {
    const auto temporary = fmt::format("{}.{}", path_, ::getpid());
    const auto address = address_of(temporary);
    check_folder_of(path_);
    if (somebody_listens(path_))
        throw Error(ErrorKind::refused, fmt::format("a walgd is serving {} already", path_),
                    "stop it first, or give this one another WALGD_SOCKET");
    UniqueFd made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!made) throw_errno("cannot make a socket");
    ::unlink(temporary.c_str());
    // Listening before it has its name: whoever finds it is served.
    if (::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw_errno(fmt::format("cannot bind {}", temporary));
    struct stat about{};
    if (::chmod(temporary.c_str(), 0660) != 0 || ::listen(made.get(), SOMAXCONN) != 0 || ::stat(temporary.c_str(), &about) != 0 ||
        ::rename(temporary.c_str(), path_.c_str()) != 0) {
        const int number = errno;
        ::unlink(temporary.c_str());
        throw_errno(fmt::format("cannot serve {}", path_), number);
    }
    device_ = about.st_dev;
    inode_ = about.st_ino;
    fd_ = std::move(made);
}

bool Listener::reachable() const {
    if (inherited_) return true;
    struct stat about{};
    return ::stat(path_.c_str(), &about) == 0 && about.st_dev == device_ && about.st_ino == inode_;
}

Listener::~Listener() {
    if (!inherited_ && reachable()) ::unlink(path_.c_str());
}

awaitable<void> keep_reachable(Listener& listener, std::function<void(int)> rebound, std::function<void(std::string)> tell) {
    std::string told;
    for (;;) {
        co_await sleep_for(look_every);
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
