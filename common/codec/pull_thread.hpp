#pragma once
#include "common/base/bytes.hpp"

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace walgd::codec {

/// Lets a library that pulls its input be a stage that is pushed: the library runs in a thread of its own and is handed the
/// pusher's own memory, piece by piece. Nothing is queued; pusher and library never run at the same time for long.
class PullThread {
public:
    /// Runs in the thread, calls pull() until it is 0.
    using Work = std::function<void(PullThread&)>;

    PullThread() = default;
    PullThread(const PullThread&) = delete;
    /// Makes a waiting pull() throw, and waits for the thread.
    ~PullThread();

    void start(Work work);
    /// Returns when the work has taken everything. Throws what the work threw. False when the work has ended before.
    bool push(ByteView bytes);
    /// Tells the work that its input ends, waits until it is done, throws what it threw.
    void finish();

    /// For the work: some bytes, none at the end. Throws Error(cancelled) when the stage is destroyed.
    std::size_t pull(MutableBytes into);

private:
    void rethrow();

    std::mutex mutex_;
    std::condition_variable changed_;
    ByteView offered_;
    bool at_end_ = false, abandoned_ = false, done_ = false;
    std::exception_ptr failure_;
    std::thread thread_;
};

} // namespace walgd::codec
