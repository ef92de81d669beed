#include "daemon/channel.hpp"

#include <boost/asio/write.hpp>
#include <cstring>
#include <fmt/format.h>
#include <sys/socket.h>

namespace walgd::daemon {

namespace {

constexpr std::chrono::seconds patience{30};

} // namespace

/// Takes what is there. False: nothing more right now.
bool Channel::read_available() {
    char bytes[16 << 10];
    iovec part{bytes, sizeof bytes};
    alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const auto count = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return false;
    if (count < 0) throw Error(ErrorKind::transient, fmt::format("the client's connection broke: {}", std::strerror(errno)));
    for (auto* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        // One belongs to a request; further ones are closed as they are replaced.
        for (std::size_t index = 0; CMSG_LEN((index + 1) * sizeof(int)) <= header->cmsg_len; ++index) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + index * sizeof(int), sizeof fd);
            descriptor_ = UniqueFd(fd);
        }
    }
    if (count == 0) closed_ = true;
    reader_.feed({bytes, static_cast<std::size_t>(count)});
    return count > 0;
}

awaitable<std::optional<Request>> Channel::receive() {
    for (;;) {
        auto frame = reader_.next();
        if (frame) co_return Request{std::move(*frame), std::move(descriptor_)};
        if (reader_.failed()) throw Error(ErrorKind::protocol, reader_.failure());
        if (closed_) co_return std::nullopt;
        if (read_available()) continue;
        if (closed_) continue;
        if (reader_.holds_part()) {
            auto readable = [this]() -> awaitable<void> { co_await socket_.async_wait(Socket::wait_read, asio::use_awaitable); };
            co_await within(patience, readable(), "half a request came, and not the rest");
        } else
            co_await socket_.async_wait(Socket::wait_read, asio::use_awaitable);
    }
}

awaitable<void> Channel::send(proto::Frame frame) {
    const auto bytes = proto::encoded(frame);
    auto write = [this, &bytes]() -> awaitable<void> {
        co_await asio::async_write(socket_, asio::buffer(bytes), asio::use_awaitable);
    };
    co_await within(patience, write(), "the client does not take its answer");
}

std::string Channel::peer() const {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(const_cast<Socket&>(socket_).native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return "unknown";
    return fmt::format("uid {} pid {}", peer.uid, peer.pid);
}

} // namespace walgd::daemon
