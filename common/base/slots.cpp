#include "common/base/slots.hpp"

namespace walgd {

awaitable<Slots::Slot> Slots::take() {
    if (free_ > 0) {
        --free_;
        co_return Slot(*this);
    }
    const auto waiter = waiters_.emplace(waiters_.end(), io_, Clock::time_point::max());
    co_await waiter->async_wait(asio::as_tuple(asio::use_awaitable));
    // Woken: the slot was handed over, and the waiter moved to the other list. Cancelled: it still stands in line.
    const bool woken = waiter->expiry() != Clock::time_point::max();
    (woken ? woken_ : waiters_).erase(waiter);
    if (!woken) throw Error(ErrorKind::cancelled, "cancelled while waiting in line");
    co_return Slot(*this);
}

void Slots::leave() {
    if (waiters_.empty()) {
        ++free_;
        return;
    }
    const auto first = waiters_.begin();
    woken_.splice(woken_.end(), waiters_, first);
    first->expires_at(Clock::time_point::min());
}

} // namespace walgd
