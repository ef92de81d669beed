#pragma once
#include "proto/frame.hpp"

#include <string>

namespace walgd::proto {

/// WALGD_SOCKET, or the default place.
std::string socket_path();

/// One blocking connection to the daemon. No exceptions; error() says what went wrong.
class Client {
public:
    Client() = default;
    Client(const Client&) = delete;
    ~Client();

    enum class Connected { yes, nobody /* no daemon listens there */, failed };
    Connected connect(const std::string& path);
    /// Sends the frame, with a descriptor if `fd` is not negative.
    bool send(const Frame& frame, int fd = -1);
    /// The next answer, waited for at most `seconds`.
    bool receive(Frame& frame, int seconds);
    /// As receive(); says on stderr, behind `who`, when no answer came for some seconds: systemd's socket takes requests while
    /// walgd does not run.
    bool receive_patiently(Frame& frame, int seconds, const std::string& who);
    const std::string& error() const { return error_; }
    /// The last failure: an answer did not come in time.
    bool timed_out() const { return timed_out_; }
    int descriptor() const { return fd_; }

    /// The message of an error answer, with the request's id, by which the daemon's log names it.
    static std::string message_of(const Frame& error);

private:
    bool fail(const std::string& text);
    int fd_ = -1;
    FrameReader reader_;
    bool timed_out_ = false;
    std::string error_;
};

} // namespace walgd::proto
