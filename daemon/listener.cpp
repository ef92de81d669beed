#include "daemon/listener.hpp"

#include "common/base/error.hpp"
#include "proto/client.hpp"

#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

namespace walgd::daemon {

Listener::Listener(const std::string& path) : path_(path) {
    if (const int inherited = ::sd_listen_fds(1); inherited > 0) {
        if (inherited > 1)
            throw Error(ErrorKind::misconfigured, fmt::format("systemd passed {} sockets, walgd serves one", inherited),
                        "keep one ListenStream= in walgd.socket");
        fd_ = UniqueFd(SD_LISTEN_FDS_START);
        inherited_ = true;
        return;
    }
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const auto temporary = fmt::format("{}.{}", path, ::getpid());
    if (temporary.size() >= sizeof address.sun_path)
        throw Error(ErrorKind::misconfigured, fmt::format("the socket's path {} is too long", path),
                    "name a shorter one in WALGD_SOCKET");
    const auto folder = std::filesystem::path(path).parent_path();
    if (!folder.empty() && !std::filesystem::is_directory(folder))
        throw Error(
            ErrorKind::misconfigured, fmt::format("the folder of the socket {} is not there", path),
            fmt::format("make it, for walgd's user: mkdir -p {0} && chown postgres: {0}; or name another socket in WALGD_SOCKET",
                        folder.string()));
    proto::Client other;
    if (other.connect(path) == proto::Client::Connected::yes)
        throw Error(ErrorKind::refused, fmt::format("a walgd is serving {} already", path),
                    "stop it first, or give this one another WALGD_SOCKET");

    fd_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd_) throw_errno("cannot make a socket");
    std::memcpy(address.sun_path, temporary.c_str(), temporary.size() + 1);
    ::unlink(temporary.c_str());
    // Listening before it has its name: whoever finds it is served.
    if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        throw_errno(fmt::format("cannot bind {}", temporary));
    if (::chmod(temporary.c_str(), 0660) != 0 || ::listen(fd_.get(), 128) != 0 ||
        ::rename(temporary.c_str(), path.c_str()) != 0) {
        const int number = errno;
        ::unlink(temporary.c_str());
        throw_errno(fmt::format("cannot serve {}", path), number);
    }
}

Listener::~Listener() {
    if (!inherited_) ::unlink(path_.c_str());
}

} // namespace walgd::daemon
