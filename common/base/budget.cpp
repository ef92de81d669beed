#include "common/base/budget.hpp"

#include "common/base/error.hpp"

#include <fmt/format.h>

namespace walgd {

MemoryBudget::Lease MemoryBudget::acquire(std::uint64_t bytes, std::stop_token stop) {
    if (bytes > total_)
        throw Error(ErrorKind::misconfigured,
                    fmt::format("one buffer of {} bytes does not fit into the memory budget of {} bytes", bytes, total_),
                    "raise memory_budget (WALGD_MEMORY_BUDGET)");
    std::unique_lock lock(mutex_);
    if (!freed_.wait(lock, stop, [&] { return free_ >= bytes; }))
        throw Error(ErrorKind::cancelled, "cancelled while waiting for memory");
    free_ -= bytes;
    return Lease(*this, bytes);
}

std::optional<MemoryBudget::Lease> MemoryBudget::try_acquire(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (free_ < bytes) return std::nullopt;
    free_ -= bytes;
    return Lease(*this, bytes);
}

std::uint64_t MemoryBudget::used() const {
    const std::lock_guard lock(mutex_);
    return total_ - free_;
}

void MemoryBudget::give_back(std::uint64_t bytes) {
    {
        const std::lock_guard lock(mutex_);
        free_ += bytes;
    }
    freed_.notify_all();
}

} // namespace walgd
