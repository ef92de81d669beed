#pragma once
#include "common/base/log.hpp"
#include "daemon/jobs.hpp"
#include "daemon/wal/wal_service.hpp"

#include <boost/asio/signal_set.hpp>
#include <functional>
#include <string>

namespace walgd::daemon {

/// What is waited for, and how what comes in is stopped.
struct DrainOptions {
    std::string pgdata; ///< whose postmaster.pid tells whether PostgreSQL still runs; empty: not known
    std::chrono::milliseconds timeout{300000};
    bool socket_stays = false; ///< systemd holds the socket: who comes now waits in it for the next start
    std::function<void()> stop_accepting = {};
    std::function<std::size_t()> connections = {};
};

/// Returns when walgd should end, as `signals` (SIGTERM and SIGINT, caught before anyone can find the daemon) say: PostgreSQL
/// archives while it shuts down, so after the first SIGTERM or SIGINT the job is cancelled, but WAL is taken until the postmaster
/// is gone (or nobody asked for two seconds, where that cannot be seen), the time is over, or a second signal comes. Where the
/// socket stays, PostgreSQL is not waited for: who has come is served, and who comes later is served by the next start.
awaitable<void> wait_and_drain(asio::signal_set& signals, WalService& wal, Jobs& jobs, DrainOptions options, Log& log);

/// Tells systemd that the I/O thread turns, at half the interval that it asks for. Returns at once where it does not ask.
awaitable<void> watchdog();

} // namespace walgd::daemon
