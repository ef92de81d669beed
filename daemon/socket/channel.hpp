#pragma once
#include "common/base/async.hpp"
#include "common/base/handles.hpp"
#include "proto/frame.hpp"

#include <boost/asio/local/stream_protocol.hpp>
#include <optional>
#include <sys/socket.h>
#include <vector>

namespace walgd::daemon {

using Socket = asio::local::stream_protocol::socket;

/// User and process at the other end, for the log.
std::string peer_of(const Socket& socket);

/// A frame, with the descriptor that came with it.
struct Request {
    proto::Frame frame;
    UniqueFd descriptor;          ///< of SCM_RIGHTS; closed again if the request has no use for it
    bool descriptor_lost = false; ///< there was one, and this process had no room for it (RLIMIT_NOFILE)
};

/// Frames and descriptors over one connection.
class Channel {
public:
    explicit Channel(Socket socket) : socket_(std::move(socket)) {}

    /// The next request; nothing when the peer closed. Error(protocol) for nonsense, for half a frame that is not completed
    /// within 30 s, and for more than one descriptor.
    awaitable<std::optional<Request>> receive();
    /// Error(transient) when the peer is gone, or takes nothing for 30 s.
    awaitable<void> send(proto::Frame frame);
    std::string peer() const;
    /// Whether the peer is root or the daemon's own user; members of the socket's group are others.
    bool peer_operates() const;
    /// Ends the connection; a receive() or send() under way fails with Error(cancelled).
    void close();

private:
    bool read_available();
    void take_descriptors(msghdr& message);
    Request take_request(proto::Frame frame);

    Socket socket_;
    proto::FrameReader reader_;
    std::vector<UniqueFd> descriptors_; ///< that came with the frame under way
    bool descriptor_lost_ = false;
    bool closed_ = false;
};

} // namespace walgd::daemon
