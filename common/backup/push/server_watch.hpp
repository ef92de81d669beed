#pragma once
#include "common/pg/server.hpp"

#include <chrono>
#include <exception>
#include <functional>
#include <stop_token>
#include <thread>

namespace walgd::backup {

/// While it lives, asks a server now and then whether the backup that it began still holds: a copy of many hours is given up at
/// once when the connection is lost or a standby promoted, not at its end. Nobody else may use the connection meanwhile.
class ServerWatch {
public:
    /// `stop`: the whole job's. token() follows it.
    ServerWatch(pg::Server& server, std::stop_token stop, std::chrono::milliseconds look_every = std::chrono::seconds(10));
    ~ServerWatch();
    ServerWatch(const ServerWatch&) = delete;

    /// Asks for a stop when the server is lost.
    std::stop_token token() const { return stop_.get_token(); }
    /// Ends it; throws what it found.
    void end();

private:
    void watch(const std::stop_token& ended);

    pg::Server& server_;
    std::chrono::milliseconds look_every_;
    std::stop_source stop_;
    std::stop_callback<std::function<void()>> on_stop_;
    std::exception_ptr failure_;
    std::jthread thread_;
};

} // namespace walgd::backup
