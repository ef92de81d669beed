#pragma once
#include "common/archive/wal_fetch.hpp"
#include "common/archive/wal_push.hpp"
#include "common/base/slots.hpp"

#include <chrono>
#include <string>

namespace walgd::daemon {

/// What the status tells about WAL.
struct WalCounters {
    std::uint64_t pushed = 0, already_there = 0, push_failed = 0, fetched = 0, fetch_absent = 0, fetch_failed = 0;
    unsigned in_flight = 0;
    std::string last_pushed, last_error;
    std::chrono::system_clock::time_point last_pushed_at{}, last_error_at{};
};

struct WalLimits {
    unsigned concurrency = 16;
    std::chrono::milliseconds push_timeout{60000}, fetch_timeout{300000};
};

/// WAL files out and in, so many at once, first come first served, each within its time.
class WalService {
public:
    WalService(archive::Archive& archive, WalLimits limits);

    awaitable<archive::WalPushed> push(std::string name, UniqueFd fd);
    awaitable<archive::Fetched> fetch(std::string name, UniqueFd fd);
    /// Asks the storage whether it keeps If-None-Match, until it answers; till then, and if it does not, pushes look before they
    /// put.
    awaitable<void> find_out_conditional_put();

    const WalCounters& counters() const { return counters_; }
    std::size_t waiting() const { return slots_.waiting(); }
    std::chrono::steady_clock::time_point last_request() const { return last_request_; }
    /// Whether the storage was found to keep If-None-Match, or not to; before that conditional_put() is false.
    bool conditional_put_known() const { return conditional_put_known_; }
    bool conditional_put() { return pusher_.options().conditional_put == archive::ConditionalPut::works; }

private:
    void note_failure(std::string_view what, const std::string& name, const std::exception_ptr& failure);

    archive::Archive& archive_;
    WalLimits limits_;
    Slots slots_;
    archive::WalPusher pusher_;
    archive::WalFetcher fetcher_;
    WalCounters counters_;
    bool conditional_put_known_ = false;
    std::chrono::steady_clock::time_point last_request_ = std::chrono::steady_clock::now();
};

} // namespace walgd::daemon
