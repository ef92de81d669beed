#include "daemon/socket/channel.hpp"

#include <algorithm>
#include <boost/asio/write.hpp>
#include <cstring>
#include <fmt/format.h>
#include <sys/socket.h>

namespace walgd::daemon {

namespace {

constexpr std::chrono::seconds patience{30};

/// The frame's bytes, or, where it is too long, an answer that says so: the client waits for one.
std::string answer_of(const proto::Frame& frame) {
    constexpr std::size_t text_bytes = 1000;
    auto bytes = proto::encoded(frame);
    if (!bytes.empty()) return bytes;
    const bool error = frame.type == proto::Type::error;
    const auto text = error ? std::string(frame.field(1).substr(0, text_bytes)) + " ..."
                            : fmt::format("the answer has more than {} bytes", proto::frame_bytes_max);
    const std::string kind(error ? frame.field(0) : name_of(ErrorKind::failed));
    return proto::encoded({proto::Type::error, frame.request, {kind, text, "walgd's log, or its /status, tells all of it"}});
}

} // namespace

void Channel::take_descriptors(msghdr& message) {
    for (auto* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        for (std::size_t index = 0; CMSG_LEN((index + 1) * sizeof(int)) <= header->cmsg_len; ++index) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + index * sizeof(int), sizeof fd);
            descriptors_.emplace_back(fd);
        }
    }
    // There is room for four: none at all means that the kernel could not give us one.
    if ((message.msg_flags & MSG_CTRUNC) != 0 && descriptors_.empty()) descriptor_lost_ = true;
    if (descriptors_.size() > 1) throw Error(ErrorKind::protocol, "a request came with more than one descriptor");
}

/// Takes what is there, and no byte of the next frame: so a descriptor belongs to the frame that it came with. False: nothing
/// more right now.
bool Channel::read_available() {
    char bytes[16 << 10];
    iovec part{bytes, std::min(sizeof bytes, reader_.wanted())};
    alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const auto count = ::recvmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return false;
    if (count < 0) throw Error(ErrorKind::transient, fmt::format("the client's connection broke: {}", std::strerror(errno)));
    take_descriptors(message);
    if (count == 0) closed_ = true;
    reader_.feed({bytes, static_cast<std::size_t>(count)});
    return count > 0;
}

Request Channel::take_request(proto::Frame frame) {
    Request request{std::move(frame), {}, std::exchange(descriptor_lost_, false)};
    if (!descriptors_.empty()) request.descriptor = std::move(descriptors_.front());
    descriptors_.clear();
    return request;
}

awaitable<std::optional<Request>> Channel::receive() {
    for (;;) {
        auto frame = reader_.next();
        if (frame) co_return take_request(std::move(*frame));
        if (reader_.failed()) throw Error(ErrorKind::protocol, reader_.failure());
        if (closed_ && reader_.holds_part()) throw Error(ErrorKind::protocol, "the connection ended in the middle of a request");
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
    const auto bytes = answer_of(frame);
    auto write = [this, &bytes]() -> awaitable<void> {
        co_await asio::async_write(socket_, asio::buffer(bytes), asio::use_awaitable);
    };
    co_await within(patience, write(), "the client does not take its answer");
}

void Channel::close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
}

namespace {

std::optional<ucred> credentials_of(const Socket& socket) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(const_cast<Socket&>(socket).native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return std::nullopt;
    return peer;
}

} // namespace

std::string Channel::peer() const { return peer_of(socket_); }

bool Channel::peer_operates() const {
    const auto peer = credentials_of(socket_);
    return peer && (peer->uid == 0 || peer->uid == ::geteuid());
}

std::string peer_of(const Socket& socket) {
    const auto peer = credentials_of(socket);
    return peer ? fmt::format("uid {} pid {}", peer->uid, peer->pid) : std::string("unknown");
}

} // namespace walgd::daemon
