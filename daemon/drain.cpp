#include "daemon/drain.hpp"

#include "common/base/files.hpp"

#include <cerrno>
#include <csignal>
#include <fmt/format.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

namespace walgd::daemon {

namespace {

constexpr std::chrono::milliseconds drain_look_every{200};
constexpr std::chrono::seconds drained_after{2};

enum class Postmaster { runs, gone, not_known };

Postmaster look_for_postmaster(const std::string& pgdata) {
    // A data directory that cannot be seen tells nothing: another user's, or another container's.
    if (pgdata.empty() || ::access(pgdata.c_str(), X_OK) != 0) return Postmaster::not_known;
    const auto path = pgdata + "/postmaster.pid";
    if (::access(path.c_str(), F_OK) != 0) return errno == ENOENT ? Postmaster::gone : Postmaster::not_known;
    try {
        const auto pid = std::strtol(read_text_file(path, 64 << 10).c_str(), nullptr, 10);
        if (pid <= 0) return Postmaster::not_known;
        // The file is there, and no such process: it crashed, or it runs in another container.
        return ::kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM ? Postmaster::runs : Postmaster::not_known;
    } catch (const Error&) {
        return Postmaster::not_known;
    }
}

bool needed(WalService& wal, const DrainOptions& options, std::chrono::steady_clock::time_point stopping_since) {
    if (wal.counters().in_flight > 0) return true;
    // A shim asks as soon as it is connected: who says nothing for two seconds has nothing to ask.
    if (options.socket_stays)
        return options.connections() > 0 && std::chrono::steady_clock::now() - stopping_since < drained_after;
    const auto postmaster = look_for_postmaster(options.pgdata);
    if (postmaster != Postmaster::not_known) return postmaster == Postmaster::runs;
    return std::chrono::steady_clock::now() - wal.last_request() < drained_after;
}

} // namespace

awaitable<void> wait_and_drain(asio::signal_set& signals, WalService& wal, Jobs& jobs, DrainOptions options, Log& log) {
    co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
    log.info("event=stopping pgdata={}", options.pgdata);
    const auto since = std::chrono::steady_clock::now();
    if (options.socket_stays) {
        ::sd_notify(0, "STOPPING=1\nSTATUS=serving who has come; others wait in the socket");
        options.stop_accepting();
    } else
        ::sd_notify(0, "STOPPING=1\nSTATUS=taking WAL until PostgreSQL has ended");
    jobs.refuse_further();
    jobs.cancel();
    bool again = false;
    signals.async_wait([&again](auto error, int) { again = !error; });
    const auto deadline = since + options.timeout;
    while (!again && std::chrono::steady_clock::now() < deadline) {
        if (!jobs.running() && !needed(wal, options, since)) break;
        ::sd_notify(0, "EXTEND_TIMEOUT_USEC=10000000");
        co_await sleep_for(drain_look_every);
    }
    signals.cancel();
    // The handler above refers to this frame: it runs before we are gone.
    co_await sleep_for(std::chrono::milliseconds(0));
}

awaitable<void> watchdog() {
    std::uint64_t microseconds = 0;
    if (::sd_watchdog_enabled(0, &microseconds) <= 0) co_return;
    for (;;) {
        ::sd_notify(0, "WATCHDOG=1");
        co_await sleep_for(std::chrono::microseconds(microseconds / 2));
    }
}

} // namespace walgd::daemon
