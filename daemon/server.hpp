#pragma once
#include "daemon/channel.hpp"
#include "daemon/jobs.hpp"
#include "daemon/wal_service.hpp"

#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <functional>
#include <list>

namespace walgd::daemon {

/// What the status tells about clients.
struct ClientCounters {
    std::size_t connections = 0, connections_max = 0;
    std::uint64_t turned_away = 0; ///< connections that were closed to make room for others
    std::string last_error;
    std::chrono::system_clock::time_point last_error_at{};
};

/// Serves the control socket: one coroutine a connection, requests of one connection in order. Where there are more connections
/// than `connections_max`, or no descriptors for more, the one that has waited longest without a request makes room.
class Server {
public:
    struct Services {
        archive::Archive& archive;
        WalService& wal;
        Jobs& jobs;
        /// Makes a job's options from what the client asked for.
        std::function<backup::PushOptions(const proto::Frame&)> push_options;
        std::function<std::string(bool json)> status;
    };
    /// Takes over the listening socket `fd`.
    Server(Services services, int fd, std::size_t connections_max = 1024);

    /// Until cancelled; then waits for its sessions.
    awaitable<void> run();
    /// Takes over another listening socket, in place of the one until now. Sessions go on.
    void listen(int fd);
    /// Something about the socket that a person should know: for log and status.
    void note_error(std::string text);
    ClientCounters counters() const;

private:
    awaitable<void> accept();
    awaitable<void> welcome(Socket socket);
    awaitable<void> serve(Socket socket);
    awaitable<std::optional<Request>> next_request(Channel& channel);
    awaitable<void> answer(Channel& channel, Request request);
    std::string wal_name_in(const proto::Frame& frame, const Channel& channel);
    bool make_room();
    void note_accept_failure(const std::exception_ptr& failure) noexcept;
    awaitable<proto::Frame> handle(Channel& channel, Request& request);
    awaitable<proto::Frame> run_backup(Channel& channel, const proto::Frame& request);

    Services services_;
    asio::local::stream_protocol::acceptor acceptor_;
    TaskGroup sessions_;
    std::list<Channel*> waiting_; ///< for a request; the longest first
    ClientCounters counters_;
    std::optional<std::chrono::steady_clock::time_point> accept_failure_told_;
};

} // namespace walgd::daemon
