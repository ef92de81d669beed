#pragma once
#include "common/base/async.hpp"

#include <list>

namespace walgd {

/// So many of something at once; who comes later waits in line. Lives on the I/O thread.
class Slots {
public:
    Slots(asio::any_io_executor io, unsigned count) : io_(std::move(io)), free_(count) {}

    /// Held: one of the slots; given back by the destructor.
    class Slot {
    public:
        explicit Slot(Slots& slots) : slots_(&slots) {}
        Slot(Slot&& other) noexcept : slots_(std::exchange(other.slots_, nullptr)) {}
        Slot& operator=(Slot&&) = delete;
        ~Slot() {
            if (slots_ != nullptr) slots_->leave();
        }

    private:
        Slots* slots_;
    };

    /// Error(cancelled) when the wait is cancelled.
    awaitable<Slot> take();
    std::size_t waiting() const { return waiters_.size(); }

private:
    void leave();

    asio::any_io_executor io_;
    unsigned free_;
    std::list<Timer> waiters_, woken_;
};

} // namespace walgd
