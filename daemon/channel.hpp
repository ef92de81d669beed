#pragma once
#include "common/base/async.hpp"
#include "common/base/handles.hpp"
#include "proto/frame.hpp"

#include <boost/asio/local/stream_protocol.hpp>
#include <optional>

namespace walgd::daemon {

using Socket = asio::local::stream_protocol::socket;

struct Request {
    proto::Frame frame;
    UniqueFd descriptor; ///< of SCM_RIGHTS; closed again if the request has no use for it
};

/// Frames and descriptors over one connection.
class Channel {
public:
    explicit Channel(Socket socket) : socket_(std::move(socket)) {}

    /// The next request; nothing when the peer closed. Error(protocol) for nonsense, and for half a frame that is not completed
    /// within 30 s.
    awaitable<std::optional<Request>> receive();
    /// Error(transient) when the peer is gone, or takes nothing for 30 s.
    awaitable<void> send(proto::Frame frame);
    /// User and process at the other end, for the log.
    std::string peer() const;

private:
    bool read_available();

    Socket socket_;
    proto::FrameReader reader_;
    UniqueFd descriptor_;
    bool closed_ = false;
};

} // namespace walgd::daemon
