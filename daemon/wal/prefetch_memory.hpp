#pragma once
#include "common/base/budget.hpp"
#include "common/base/bytes.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

namespace walgd::daemon {

class SegmentBuffer;

/// The prefetch's part of the memory budget. It never waits for memory, and never holds so much that pushes had to wait for it.
class PrefetchMemory {
public:
    explicit PrefetchMemory(MemoryBudget& budget) : budget_(budget), share_(budget.total() / 8 * 3) {}

    class Lease {
    public:
        Lease() = default;
        Lease(MemoryBudget::Lease share, MemoryBudget::Lease budget) : share_(std::move(share)), budget_(std::move(budget)) {}

    private:
        MemoryBudget::Lease share_, budget_;
    };
    std::optional<Lease> try_acquire(std::uint64_t bytes);
    /// A segment's buffer, with a fifth of the share left for packed objects; nullptr if there is no room.
    std::shared_ptr<SegmentBuffer> try_buffer(std::uint64_t segment_bytes);
    bool has_room_for_buffers_of(std::uint64_t segment_bytes) const { return segment_bytes <= total() / 5 * 4; }

    std::uint64_t total() const { return share_.total(); }
    std::uint64_t used() const { return share_.used(); }

private:
    MemoryBudget& budget_;
    MemoryBudget share_;
};

/// Memory for a whole segment. It is written out from its front, and can be filled with the next segment right behind: one buffer
/// does the work of two.
class SegmentBuffer {
public:
    SegmentBuffer(PrefetchMemory::Lease lease, std::size_t bytes) : lease_(std::move(lease)), blob_(bytes) {}

    MutableBytes bytes() { return {blob_.data(), blob_.capacity()}; }

    /// While it lives, the content from written() on has to stay.
    class Writing {
    public:
        explicit Writing(std::shared_ptr<SegmentBuffer> buffer) : buffer_(std::move(buffer)) {
            if (buffer_) buffer_->set_written(0);
        }
        Writing(const Writing&) = delete;
        ~Writing() {
            if (buffer_) buffer_->set_written(all);
        }

    private:
        std::shared_ptr<SegmentBuffer> buffer_;
    };
    /// The writer, from a thread of the pool: so many bytes are needed no more.
    void set_written(std::uint64_t bytes) {
        written_ = bytes;
        written_.notify_all();
    }
    /// The filler, from another one: blocks it until the bytes up to `end` are needed no more.
    void wait_until_written(std::uint64_t end) const {
        for (auto written = written_.load(); written < end; written = written_.load()) written_.wait(written);
    }

private:
    static constexpr std::uint64_t all = ~std::uint64_t{0};
    PrefetchMemory::Lease lease_;
    Blob blob_;
    std::atomic<std::uint64_t> written_ = all;
};

} // namespace walgd::daemon
