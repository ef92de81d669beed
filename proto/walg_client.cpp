#include "proto/walg_client.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace walgd::proto {

WalgClient::~WalgClient() {
    if (fd_ >= 0) ::close(fd_);
}

bool WalgClient::fail(const std::string& text, const std::string& hint) {
    error_ = text;
    hint_ = hint;
    return false;
}

bool WalgClient::fail_errno(const std::string& text, const std::string& hint) {
    return fail(text + ": " + std::strerror(errno), hint);
}

bool WalgClient::connect(const std::string& path, Milliseconds limit) {
    path_ = path;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return fail("the path " + path + " is too long", "a socket's path has at most 107 bytes");
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return fail_errno("cannot make a socket");
    // A connect to a Unix socket waits only while the listener's queue is full, and then for as long as sending may take.
    timeval time{};
    time.tv_sec = limit.count() / 1000;
    time.tv_usec = limit.count() % 1000 * 1000;
    if (::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) != 0)
        return fail_errno("cannot set the connection timeout");
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
    return fail_errno("cannot connect to " + path, "is the daemon running, with this socket?");
}

bool WalgClient::send(const WalgRequest& request) {
    const auto bytes = encoded(request);
    if (bytes.empty()) return fail("the names are too long", "a request has at most 65535 bytes");
    for (std::size_t sent = 0; sent < bytes.size();) {
        const auto count = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail_errno("cannot send to " + path_);
        sent += static_cast<std::size_t>(count);
    }
    return true;
}

/// Until there is something to receive.
bool WalgClient::wait(std::chrono::steady_clock::time_point began, Milliseconds limit) {
    for (;;) {
        const auto left = std::chrono::ceil<Milliseconds>(began + limit - std::chrono::steady_clock::now()).count();
        if (left <= 0) return fail("no answer from " + path_ + " within " + std::to_string(limit.count()) + " ms");
        pollfd waiting{fd_, POLLIN, 0};
        const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, 1 << 30)));
        if (ready > 0) return true;
        if (ready < 0 && errno != EINTR) return fail_errno("cannot wait for the daemon");
    }
}

std::optional<WalgReply> WalgClient::receive(std::chrono::steady_clock::time_point began, Milliseconds limit) {
    if (!wait(began, limit)) return std::nullopt;
    char reply = 0;
    const auto count = ::recv(fd_, &reply, 1, 0);
    if (count == 1) return static_cast<WalgReply>(reply);
    if (count == 0)
        fail(path_ + " closed the connection without an answer");
    else
        fail_errno("cannot receive from " + path_);
    return std::nullopt;
}

} // namespace walgd::proto
