#include "daemon/socket/walg_socket.hpp"

namespace walgd::daemon {

WalgSocket::WalgSocket(const config::Settings& settings, UniqueFd inherited, archive::Archive& archive, WalService& wal,
                       std::size_t connections_max)
    : path_(settings.text("walg_socket")) {
    if (path_.empty() && !inherited) return;
    // Before it listens: nobody is to find a socket that is not served.
    const DataDirectory known(settings.text("pgdata"));
    if (inherited) path_ = "systemd's";
    listener_.emplace(SocketPlace{path_, "WALGD_WALG_SOCKET"}, std::move(inherited));
    server_.emplace(archive, wal, settings.text("pgdata"), listener_->release(), connections_max);
}

void WalgSocket::start(TaskGroup& tasks) {
    if (!server_) return;
    tasks.spawn(server_->run());
    keep_reachable(tasks, *listener_, *server_);
}

void WalgSocket::stop_accepting() {
    if (server_) server_->stop_accepting();
}

} // namespace walgd::daemon
