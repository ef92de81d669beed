#pragma once
#include "common/base/bytes.hpp"

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

namespace walgd {

/// The one total that all large buffers come out of. Work waits here for memory, not in the allocator.
class MemoryBudget {
public:
    explicit MemoryBudget(std::uint64_t bytes) : total_(bytes), free_(bytes) {}
    MemoryBudget(const MemoryBudget&) = delete;

    /// Bytes taken out of the budget; given back by the destructor.
    class Lease {
    public:
        Lease() = default;
        Lease(MemoryBudget& budget, std::uint64_t bytes) : budget_(&budget), bytes_(bytes) {}
        Lease(Lease&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
        Lease& operator=(Lease&& other) noexcept {
            std::swap(budget_, other.budget_);
            std::swap(bytes_, other.bytes_);
            return *this;
        }
        ~Lease() {
            if (budget_ != nullptr) budget_->give_back(bytes_);
        }
        std::uint64_t bytes() const { return bytes_; }
        /// Gives back all but `bytes`.
        void shrink(std::uint64_t bytes) {
            if (budget_ == nullptr || bytes >= bytes_) return;
            budget_->give_back(bytes_ - bytes);
            bytes_ = bytes;
        }

    private:
        MemoryBudget* budget_ = nullptr;
        std::uint64_t bytes_ = 0;
    };

    /// Blocks this thread until `bytes` are free; Error(cancelled) when `stop` is asked for, Error(misconfigured) when the whole
    /// budget is smaller.
    Lease acquire(std::uint64_t bytes, std::stop_token stop = {});
    /// Nothing, if `bytes` are not free right now.
    std::optional<Lease> try_acquire(std::uint64_t bytes);

    std::uint64_t total() const { return total_; }
    std::uint64_t used() const;

private:
    void give_back(std::uint64_t bytes);

    const std::uint64_t total_;
    mutable std::mutex mutex_;
    std::condition_variable_any freed_;
    std::uint64_t free_;
};

} // namespace walgd
