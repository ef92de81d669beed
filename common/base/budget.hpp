#pragma once
#include "common/base/bytes.hpp"

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
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
        Lease(MemoryBudget& budget, std::uint64_t bytes, bool of_a_job) : budget_(&budget), bytes_(bytes), of_a_job_(of_a_job) {}
        Lease(Lease&& other) noexcept
            : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)), of_a_job_(other.of_a_job_) {
        }
        Lease& operator=(Lease&& other) noexcept {
            std::swap(budget_, other.budget_);
            std::swap(bytes_, other.bytes_);
            std::swap(of_a_job_, other.of_a_job_);
            return *this;
        }
        ~Lease() {
            if (budget_ != nullptr) budget_->give_back(bytes_, of_a_job_);
        }
        std::uint64_t bytes() const { return bytes_; }
        /// Gives back all but `bytes`.
        void shrink(std::uint64_t bytes) {
            if (budget_ == nullptr || bytes >= bytes_) return;
            budget_->give_back(bytes_ - bytes, of_a_job_);
            bytes_ = bytes;
        }

    private:
        MemoryBudget* budget_ = nullptr;
        std::uint64_t bytes_ = 0;
        bool of_a_job_ = false;
    };

    /// For a job (a backup, a restore): blocks this thread until `bytes` are free and nobody is First, or jobs have no more than
    /// their quarter, so that they go on. Where a budget has no room for that and for what the First waits for, they do not.
    /// Error(cancelled) when `stop` is asked for, Error(misconfigured) when the whole budget is smaller.
    Lease acquire(std::uint64_t bytes, std::stop_token stop = {});
    /// Nothing, if `bytes` are not free right now.
    std::optional<Lease> try_acquire(std::uint64_t bytes);

    /// While one lives, its owner (WAL) waits for `bytes` with try_acquire(), and jobs let it go first.
    class First {
    public:
        explicit First(MemoryBudget& budget, std::uint64_t bytes = 0) : budget_(budget), bytes_(bytes) {
            budget_.first_begins(bytes_);
        }
        ~First() { budget_.first_ends(bytes_); }
        First(const First&) = delete;

    private:
        MemoryBudget& budget_;
        const std::uint64_t bytes_;
    };
    /// Whether somebody is First: who needs no memory takes none now.
    bool first_waits() const;

    std::uint64_t total() const { return total_; }
    std::uint64_t used() const;

private:
    void give_back(std::uint64_t bytes, bool of_a_job);
    void first_begins(std::uint64_t bytes);
    void first_ends(std::uint64_t bytes);

    const std::uint64_t total_;
    mutable std::mutex mutex_;
    std::condition_variable_any freed_;
    std::uint64_t free_, with_jobs_ = 0;
    std::multiset<std::uint64_t> first_; ///< what each of those waits for
};

} // namespace walgd
