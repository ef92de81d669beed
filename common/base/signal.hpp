#pragma once
#include "common/base/async.hpp"

#include <list>

namespace walgd {

/// Something changed: wakes all who wait at that moment. Lives on the I/O thread.
class Signal {
public:
    explicit Signal(asio::any_io_executor io) : io_(std::move(io)) {}

    void notify();
    /// Returns at the next notify(), or at `latest`. Error(cancelled) when the wait is cancelled.
    awaitable<void> wait(Clock::time_point latest = Clock::time_point::max());

private:
    asio::any_io_executor io_;
    std::list<Timer> waiters_;
};

} // namespace walgd
