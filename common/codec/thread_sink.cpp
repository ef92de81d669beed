#include "common/codec/thread_sink.hpp"

#include "common/base/error.hpp"

#include <algorithm>

namespace walgd::codec {

ThreadSink::ThreadSink(Sink& next) : next_(next) {
    for (auto& buffer : buffers_) buffer = Blob(buffer_bytes);
    thread_ = std::thread([this] { run(); });
}

ThreadSink::~ThreadSink() {
    {
        const std::lock_guard lock(mutex_);
        abandoned_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void ThreadSink::write(ByteView bytes) {
    while (!bytes.empty()) {
        const auto part = bytes.first(std::min(bytes.size(), filling().room().size()));
        filling().append(part);
        bytes = bytes.subspan(part.size());
        if (filling().room().empty()) hand_over();
    }
}

/// Returns when there is a buffer to fill.
void ThreadSink::hand_over() {
    std::unique_lock lock(mutex_);
    ++filled_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return filled_ - passed_ < buffer_count || done_; });
    if (failure_) std::rethrow_exception(failure_);
}

void ThreadSink::finish() {
    std::unique_lock lock(mutex_);
    ++filled_;
    at_end_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return done_; });
    if (failure_) std::rethrow_exception(failure_);
}

void ThreadSink::run() {
    std::exception_ptr failure;
    try {
        pass_all();
    } catch (...) {
        failure = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    failure_ = failure;
    done_ = true;
    changed_.notify_all();
}

void ThreadSink::pass_all() {
    while (wait_for_more()) {
        auto& buffer = buffers_[passed_ % buffer_count];
        if (buffer.size() > 0) next_.write(buffer.view());
        buffer.clear();
        const std::lock_guard lock(mutex_);
        ++passed_;
        changed_.notify_all();
    }
    next_.finish();
}

/// False when nothing comes any more.
bool ThreadSink::wait_for_more() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return passed_ < filled_ || at_end_ || abandoned_; });
    if (abandoned_) throw Error(ErrorKind::cancelled, "the stage is abandoned");
    return passed_ < filled_;
}

} // namespace walgd::codec
