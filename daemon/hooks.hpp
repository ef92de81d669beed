#pragma once
#include "common/base/async.hpp"
#include "common/base/log.hpp"
#include "common/base/signal.hpp"
#include "common/storage/s3/proxy.hpp"
#include "daemon/wal/wal_service.hpp"

#include <deque>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace walgd::storage {
class Transport;
}

namespace walgd::daemon {

/// Tells others what happened: runs a program with the event's name as its only argument and the event as JSON on its standard
/// input, and posts the JSON to a URL. Nothing waits for them; what fails is logged. No shell is involved, and the program's
/// environment holds no setting of walgd.
///
/// Events: backup_done, backup_failed, verify_done, verify_failed, retention_done, retention_failed, archive_lag,
/// archive_caught_up, wal_gap.
class Hooks {
public:
    struct Options {
        std::string command; ///< path of a program; empty: none
        std::string url;     ///< http:// or https://; may hold a secret, so it is never shown. Empty: none
        std::string ca_file;
        storage::ProxyRules proxies;
        std::chrono::milliseconds timeout{60000};
    };
    /// Error(misconfigured) when the URL is none, or the program cannot be run.
    Hooks(asio::any_io_executor io, Log& log, Options options);
    ~Hooks();

    void notify(const std::string& event, nlohmann::ordered_json details);
    /// Tells one event after the other, until cancelled.
    awaitable<void> run();

private:
    awaitable<void> tell(std::string event, std::string json);
    awaitable<void> run_program(std::string event, std::string json);
    awaitable<void> post(std::string json);

    asio::any_io_executor io_;
    Log& log_;
    Options options_;
    std::unique_ptr<storage::Transport> transport_;
    std::deque<std::pair<std::string, std::string>> waiting_; ///< the oldest are dropped when there are too many
    Signal more_;
};

/// When WAL waits for longer than `limit` without one file stored: archive_lag, and archive_caught_up when that is over.
awaitable<void> watch_lag(const WalService& wal, Hooks& hooks, std::chrono::milliseconds limit);

} // namespace walgd::daemon
