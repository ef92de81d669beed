#pragma once
#include "common/codec/sink.hpp"

#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace walgd::codec {

/// A stage between two threads: what is written is copied, and a thread of its own passes it on, so that who writes goes on while
/// the stages behind work. Holds 1 MiB at most; write() waits while that is full. What a stage behind throws, the next write() or
/// finish() throws.
class ThreadSink : public Sink {
public:
    explicit ThreadSink(Sink& next);
    ThreadSink(const ThreadSink&) = delete;
    /// Waits for the stages behind to return from what they do.
    ~ThreadSink() override;
    void write(ByteView bytes) override;
    /// Returns when the next stage has finished.
    void finish() override;

private:
    static constexpr std::size_t buffer_count = 4, buffer_bytes = 256 << 10;

    Blob& filling() { return buffers_[filled_ % buffer_count]; }
    void hand_over();
    void run();
    void pass_all();
    bool wait_for_more();

    Sink& next_;
    std::array<Blob, buffer_count> buffers_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::size_t filled_ = 0, passed_ = 0; ///< buffers, counted from the first on
    bool at_end_ = false, abandoned_ = false, done_ = false;
    std::exception_ptr failure_;
    std::thread thread_;
};

} // namespace walgd::codec
