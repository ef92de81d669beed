#include "common/base/budget.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd {

namespace {

/// Of the budget: what jobs may have even while WAL waits. A piece of an upload fits in (config/setup.cpp sees to it).
constexpr std::uint64_t jobs_share = 4;

} // namespace

MemoryBudget::Lease MemoryBudget::acquire(std::uint64_t bytes, std::stop_token stop) {
    if (bytes > total_)
        throw Error(ErrorKind::misconfigured,
                    fmt::format("one buffer of {} bytes does not fit into the memory budget of {} bytes", bytes, total_),
                    "raise memory_budget (WALGD_MEMORY_BUDGET)");
    std::unique_lock lock(mutex_);
    const auto may_have = [this] {
        if (first_.empty()) return total_;
        return std::min(total_ / jobs_share, total_ - std::min(total_, *first_.rbegin()));
    };
    if (!freed_.wait(lock, stop, [&] { return free_ >= bytes && with_jobs_ + bytes <= may_have(); }))
        throw Error(ErrorKind::cancelled, "cancelled while waiting for memory");
    free_ -= bytes;
    with_jobs_ += bytes;
    return Lease(*this, bytes, true);
}

std::optional<MemoryBudget::Lease> MemoryBudget::try_acquire(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (free_ < bytes) return std::nullopt;
    free_ -= bytes;
    return Lease(*this, bytes, false);
}

std::uint64_t MemoryBudget::used() const {
    const std::lock_guard lock(mutex_);
    return total_ - free_;
}

void MemoryBudget::give_back(std::uint64_t bytes, bool of_a_job) {
    {
        const std::lock_guard lock(mutex_);
        free_ += bytes;
        if (of_a_job) with_jobs_ -= bytes;
    }
    freed_.notify_all();
}

bool MemoryBudget::first_waits() const {
    const std::lock_guard lock(mutex_);
    return !first_.empty();
}

void MemoryBudget::first_begins(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    first_.insert(bytes);
}

void MemoryBudget::first_ends(std::uint64_t bytes) {
    {
        const std::lock_guard lock(mutex_);
        first_.erase(first_.find(bytes));
    }
    freed_.notify_all();
}

} // namespace walgd
