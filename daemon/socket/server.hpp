#pragma once
#include "daemon/jobs.hpp"
#include "daemon/socket/channel.hpp"
#include "daemon/socket/sessions.hpp"
#include "daemon/wal/wal_service.hpp"
#include "proto/backup_request.hpp"

#include <functional>

namespace walgd::daemon {

/// Serves the control socket: requests of one connection in order.
class Server {
public:
    struct Services {
        archive::Archive& archive;
        WalService& wal;
        Jobs& jobs;
        /// Makes a job's options from what the client asked for.
        std::function<backup::PushOptions(const proto::BackupRequest&)> push_options;
        std::function<std::string(bool json)> status;
        /// Reads the settings again and says what came of it.
        std::function<std::string()> reload;
        /// What is known of the archive, or why that is not told.
        struct Catalogue {
            std::string text, refusal;
            std::chrono::milliseconds age{};
        };
        std::function<Catalogue(const proto::Frame&)> catalogue;
        /// A client changed the archive, as the frame says; `trusted`: by whom a name may be taken.
        std::function<void(const proto::Frame&, bool trusted)> archive_changed;
        /// Why a backup that a client wants is not this daemon's to take; empty: it is.
        std::function<std::string(const proto::BackupRequest&)> backup_elsewhere;
    };
    /// Takes over the listening socket `fd`.
    Server(Services services, int fd, std::size_t connections_max = 1024);

    /// Until cancelled; then waits for its sessions.
    awaitable<void> run() { return sessions_.run(); }
    void stop_accepting() { sessions_.stop_accepting(); }
    void listen(int fd) { sessions_.listen(fd); }
    void note_error(std::string text) { sessions_.note_error(std::move(text)); }
    ClientCounters counters() const { return sessions_.counters(); }

private:
    awaitable<void> serve(Socket socket);
    awaitable<void> turn_away(Socket socket);
    awaitable<std::optional<Request>> next_request(Channel& channel);
    awaitable<void> answer(Channel& channel, Request request);
    std::string wal_name_in(const proto::Frame& frame, const Channel& channel);
    awaitable<proto::Frame> handle(Channel& channel, Request& request);
    awaitable<proto::Frame> tell_catalogue(Channel& channel, const proto::Frame& request);
    awaitable<proto::Frame> run_backup(Channel& channel, std::uint32_t id, backup::PushOptions options);

    Services services_;
    Sessions sessions_;
};

} // namespace walgd::daemon
