#pragma once
#include "daemon/channel.hpp"
#include "daemon/jobs.hpp"
#include "daemon/wal_service.hpp"

#include <boost/asio/local/stream_protocol.hpp>
#include <functional>

namespace walgd::daemon {

/// Serves the control socket: one coroutine a connection, requests of one connection in order.
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
    Server(Services services, int fd);

    /// Until cancelled; then waits for its sessions.
    awaitable<void> run();

private:
    awaitable<void> accept();
    awaitable<void> serve(Socket socket);
    awaitable<void> answer(Channel& channel, Request request);
    awaitable<proto::Frame> handle(Channel& channel, Request& request);
    awaitable<proto::Frame> run_backup(Channel& channel, const proto::Frame& request);

    Services services_;
    asio::local::stream_protocol::acceptor acceptor_;
    TaskGroup sessions_;
};

} // namespace walgd::daemon
