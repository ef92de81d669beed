#pragma once
#include "common/base/async.hpp"
#include "common/base/log.hpp"
#include "daemon/socket/channel.hpp"

#include <chrono>
#include <functional>
#include <list>
#include <optional>

namespace walgd::daemon {

/// What the status tells about clients.
struct ClientCounters {
    std::size_t connections = 0, connections_max = 0;
    std::uint64_t turned_away = 0; ///< connections that were closed to make room for others
    std::string last_error;
    std::chrono::system_clock::time_point last_error_at{};
};

/// The clients of two sockets as one.
ClientCounters together(ClientCounters one, const ClientCounters& other);

/// Accepts what connects to a listening socket and serves each connection by a coroutine of its own. Where there are more
/// connections than `connections_max`, or no descriptors for more, the one that has waited longest without a request makes room.
class Sessions {
public:
    using Serve = std::function<awaitable<void>(Socket)>;
    /// Takes over the listening socket `fd`. `serve` ends when the connection does, `turn_away` answers the one for which there
    /// is no room.
    Sessions(asio::any_io_executor io, Log& log, int fd, std::size_t connections_max, Serve serve, Serve turn_away);

    /// Until cancelled; then waits for its sessions.
    awaitable<void> run();
    /// Takes no further connections; those that there are go on. Where the socket is somebody else's, they wait in it.
    void stop_accepting();
    /// Takes over another listening socket, in place of the one until now. Sessions go on.
    void listen(int fd);
    /// Something about the socket that a person should know: for log and status.
    void note_error(std::string text);
    ClientCounters counters() const;
    /// A name for the next request, in log and answer; another one after a restart.
    std::string next_request_id();

    /// While it lives, a session waits for a request, and `close` may be called to make room for another.
    class Waiting {
    public:
        Waiting(Sessions& sessions, std::function<void()> close)
            : sessions_(sessions), place_(sessions.waiting_.insert(sessions.waiting_.end(), std::move(close))) {}
        ~Waiting() { sessions_.waiting_.erase(place_); }
        Waiting(const Waiting&) = delete;

    private:
        Sessions& sessions_;
        std::list<std::function<void()>>::iterator place_;
    };

private:
    awaitable<void> accept();
    awaitable<void> welcome(Socket socket);
    bool make_room();
    void note_accept_failure(const std::exception_ptr& failure) noexcept;

    asio::any_io_executor io_;
    Log& log_;
    Serve serve_, turn_away_;
    asio::local::stream_protocol::acceptor acceptor_;
    std::list<std::function<void()>> waiting_; ///< the longest first; they leave it before the sessions are gone
    TaskGroup sessions_;
    bool accepting_ = true;
    ClientCounters counters_;
    const unsigned start_; ///< tells the requests of this start from those of another
    std::uint64_t requests_ = 0;
    std::optional<std::chrono::steady_clock::time_point> accept_failure_told_;
};

} // namespace walgd::daemon
