#pragma once
#include "common/archive/retention/retention_inventory.hpp"
#include "common/base/budget.hpp"
#include "common/base/bytes.hpp"
#include "common/base/worker_pool.hpp"

#include <deque>
#include <functional>
#include <future>
#include <optional>
#include <stop_token>

namespace walgd::backup {

/// Reads objects on several threads, and hands them out in the order in which they were begun. For one thread, which looks at
/// what comes out. Memory is taken when an object is begun: those under way wait for none, so that the first always ends.
class CheckAhead {
public:
    /// What a thread found out.
    struct Outcome {
        std::optional<Blob> segment{}; ///< what a segment's object holds
        bool whole = false;            ///< of others: it was read, and is as it should be
    };
    using Work = std::function<Outcome(std::stop_token)>;

    class Begun {
    public:
        /// Waits for it; an Error of the work is thrown. Nothing: nobody read it yet.
        std::optional<Outcome> outcome() { return future.valid() ? std::optional(future.get()) : std::nullopt; }

        const archive::HeldObject& object;
        MemoryBudget::Lease lease{}; ///< at least check_bytes
        std::future<Outcome> future{};
    };

    CheckAhead(unsigned at_once, MemoryBudget& budget, std::stop_token stop);
    /// Cancels what is under way, and waits for its end.
    ~CheckAhead();
    CheckAhead(const CheckAhead&) = delete;

    /// False: too many are under way, or there is not so much memory as `bytes`. One alone is always begun: without the memory,
    /// or where one at once is all, its work is left to who takes it.
    bool begin(const archive::HeldObject& object, std::uint64_t bytes, Work work);
    bool empty() const { return begun_.empty(); }
    /// In the storage, of those under way.
    std::uint64_t bytes() const;
    Begun take_first();

private:
    const unsigned at_once_;
    MemoryBudget& budget_;
    std::stop_token stop_;
    std::stop_source leaving_;
    std::stop_callback<std::function<void()>> on_stop_;
    std::deque<Begun> begun_;
    WorkerPool threads_;
};

} // namespace walgd::backup
