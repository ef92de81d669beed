#include "common/codec/pull_thread.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <utility>

namespace walgd::codec {

PullThread::~PullThread() {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        abandoned_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void PullThread::start(Work work) {
    thread_ = std::thread([this, work = std::move(work)] {
        std::exception_ptr failure;
        try {
            work(*this);
        } catch (...) {
            failure = std::current_exception();
        }
        const std::lock_guard lock(mutex_);
        failure_ = failure;
        done_ = true;
        changed_.notify_all();
    });
}

bool PullThread::push(ByteView bytes) {
    if (bytes.empty()) return true;
    std::unique_lock lock(mutex_);
    offered_ = bytes;
    changed_.notify_all();
    changed_.wait(lock, [this] { return offered_.empty() || done_; });
    rethrow();
    return std::exchange(offered_, {}).empty();
}

void PullThread::finish() {
    std::unique_lock lock(mutex_);
    at_end_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return done_; });
    rethrow();
}

std::size_t PullThread::pull(MutableBytes into) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !offered_.empty() || at_end_ || abandoned_; });
    if (abandoned_) throw Error(ErrorKind::cancelled, "the stage is abandoned");
    const auto count = std::min(into.size(), offered_.size());
    std::copy_n(offered_.begin(), count, into.begin());
    offered_ = offered_.subspan(count);
    if (offered_.empty()) changed_.notify_all();
    return count;
}

void PullThread::rethrow() {
    if (failure_) std::rethrow_exception(failure_);
}

} // namespace walgd::codec
