#pragma once
#include "config/settings.hpp"
#include "daemon/socket/listener.hpp"
#include "daemon/socket/walg_server.hpp"

namespace walgd::daemon {

/// The socket with WAL-G's protocol, where a setting or systemd asks for it; else nothing.
class WalgSocket {
public:
    /// Takes over what systemd passed, or binds the path of the setting. Error as DataDirectory's and Listener's.
    WalgSocket(const config::Settings& settings, UniqueFd inherited, archive::Archive& archive, WalService& wal,
               std::size_t connections_max);

    void start(TaskGroup& tasks);
    void stop_accepting();
    /// systemd holds it, or there is none.
    bool stays() const { return !listener_ || listener_->inherited(); }
    const std::string& path() const { return path_; }
    ClientCounters counters() const { return server_ ? server_->counters() : ClientCounters(); }

private:
    std::string path_;
    std::optional<Listener> listener_;
    std::optional<WalgServer> server_;
};

} // namespace walgd::daemon
