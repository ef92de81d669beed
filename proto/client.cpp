#include "proto/client.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace walgd::proto {

std::string socket_path() {
    const char* path = std::getenv("WALGD_SOCKET");
    return path != nullptr && *path != '\0' ? path : "/run/walgd/walgd.sock";
}

Client::~Client() {
    if (fd_ >= 0) ::close(fd_);
}

std::string Client::message_of(const Frame& error) {
    std::string message(error.field(1));
    if (!error.field(3).empty()) message += " (walgd request " + std::string(error.field(3)) + ")";
    return message;
}

bool Client::fail(const std::string& text) {
    error_ = text;
    return false;
}

Client::Connected Client::connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        fail("the socket's path " + path + " is too long");
        return Connected::failed;
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ >= 0 && ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return Connected::yes;
    const int number = errno;
    fail("cannot connect to walgd at " + path + ": " + std::strerror(number));
    return number == ENOENT || number == ECONNREFUSED ? Connected::nobody : Connected::failed;
}

bool Client::send(const Frame& frame, int fd) {
    auto bytes = encoded(frame);
    if (bytes.empty()) return fail("the request is too long");
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        auto* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    while (part.iov_len > 0) {
        const auto sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return fail(std::string("cannot send to walgd: ") + std::strerror(errno));
        part.iov_base = static_cast<char*>(part.iov_base) + sent;
        part.iov_len -= static_cast<std::size_t>(sent);
        message.msg_control = nullptr;
        message.msg_controllen = 0;
    }
    return true;
}

bool Client::receive(Frame& frame, int seconds) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const auto deadline = now.tv_sec + seconds;
    for (;;) {
        if (auto next = reader_.next()) {
            frame = *next;
            return true;
        }
        if (reader_.failed()) return fail(reader_.failure());
        clock_gettime(CLOCK_MONOTONIC, &now);
        timed_out_ = now.tv_sec >= deadline;
        if (timed_out_) return fail("walgd did not answer within " + std::to_string(seconds) + " s");
        pollfd waiting{fd_, POLLIN, 0};
        const int ready = ::poll(&waiting, 1, static_cast<int>((deadline - now.tv_sec) * 1000));
        if (ready < 0 && errno != EINTR) return fail(std::string("cannot wait for walgd: ") + std::strerror(errno));
        if (ready <= 0) continue;
        char bytes[4096];
        const auto count = ::recv(fd_, bytes, sizeof bytes, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return fail(std::string("the connection to walgd broke: ") + std::strerror(errno));
        if (count == 0) return fail("walgd closed the connection without an answer: it was stopped or died");
        reader_.feed({bytes, static_cast<std::size_t>(count)});
    }
}

bool Client::receive_patiently(Frame& frame, int seconds, const std::string& who) {
    constexpr int silent_seconds = 10;
    if (receive(frame, silent_seconds)) return true;
    if (!timed_out_) return false;
    const auto line = who + ": walgd has not answered for " + std::to_string(silent_seconds) +
                      " s, waiting. HINT: does walgd run, and does its storage answer? Its log tells (journalctl -u walgd)\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size()); // nobody to tell if it fails
    if (receive(frame, seconds - silent_seconds)) return true;
    return timed_out_ ? fail("walgd did not answer within " + std::to_string(seconds) + " s") : false;
}

} // namespace walgd::proto
