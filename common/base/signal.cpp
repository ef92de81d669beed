#include "common/base/signal.hpp"

namespace walgd {

void Signal::notify() {
    for (auto& waiter : waiters_) waiter.expires_at(Clock::time_point::min());
}

awaitable<void> Signal::wait(Clock::time_point latest) {
    const auto waiter = waiters_.emplace(waiters_.end(), io_, latest);
    const auto [error] = co_await waiter->async_wait(asio::as_tuple(asio::use_awaitable));
    // Moving the expiry ends the wait like a cancellation does; the expiry tells them apart.
    const bool notified = waiter->expiry() == Clock::time_point::min();
    waiters_.erase(waiter);
    if (error && !notified) throw Error(ErrorKind::cancelled, "cancelled while waiting");
}

} // namespace walgd
