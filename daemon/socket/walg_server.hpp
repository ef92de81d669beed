#pragma once
#include "daemon/socket/data_directory.hpp"
#include "daemon/socket/sessions.hpp"
#include "daemon/wal/wal_service.hpp"
#include "proto/walg_frame.hpp"

#include <optional>
#include <string>

namespace walgd::daemon {

/// Requests of WAL-G's clients over one connection.
class WalgChannel {
public:
    explicit WalgChannel(Socket socket) : socket_(std::move(socket)), peer_(peer_of(socket_)) {}

    /// The next request; nothing when the peer closed. Error(protocol) for nonsense, Error(transient) for half a request that is
    /// not completed within 30 s, and for a connection on which nobody asks anything for five minutes.
    awaitable<std::optional<proto::WalgRequest>> receive();
    /// Error(transient) when the peer is gone.
    awaitable<void> send(proto::WalgReply reply);
    const std::string& peer() const { return peer_; }
    /// Ends the connection; a receive() under way fails with Error(cancelled).
    void close();

private:
    awaitable<void> read_more();

    Socket socket_;
    std::string peer_;
    proto::WalgFrameReader reader_;
    bool closed_ = false;
};

/// Serves WAL-G's daemon protocol, for walg-daemon-client and the walg_archive module: check, push from the cluster's pg_wal,
/// fetch into its data directory. As WAL-G's daemon it closes the connection after a push, a fetch and an error.
class WalgServer {
public:
    /// Takes over the listening socket `fd`. Error(misconfigured) without a data directory.
    WalgServer(archive::Archive& archive, WalService& wal, const std::string& pgdata, int fd, std::size_t connections_max);

    /// Until cancelled; then waits for its sessions.
    awaitable<void> run() { return sessions_.run(); }
    void stop_accepting() { sessions_.stop_accepting(); }
    void listen(int fd) { sessions_.listen(fd); }
    void note_error(std::string text) { sessions_.note_error(std::move(text)); }
    ClientCounters counters() const { return sessions_.counters(); }

private:
    awaitable<void> serve(Socket socket);
    awaitable<void> turn_away(Socket socket);
    awaitable<std::optional<proto::WalgRequest>> next_request(WalgChannel& channel);
    /// What goes wrong is logged, and answered.
    awaitable<proto::WalgReply> answer_or_log(WalgChannel& channel, const proto::WalgRequest& request);
    awaitable<proto::WalgReply> answer(const proto::WalgRequest& request);
    void log_failure(const WalgChannel& channel, const Error& error);
    awaitable<proto::WalgReply> push(std::string path);
    awaitable<proto::WalgReply> fetch(std::string name, std::string destination);

    archive::Archive& archive_;
    WalService& wal_;
    DataDirectory data_;
    Sessions sessions_;
};

} // namespace walgd::daemon
