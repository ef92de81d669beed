#include "daemon/wal/prefetch_memory.hpp"

namespace walgd::daemon {

std::optional<PrefetchMemory::Lease> PrefetchMemory::try_acquire(std::uint64_t bytes) {
    // What it holds goes out bit by bit; a push that waits for it is not to wait for what would come in its place too.
    if (budget_.first_waits()) return std::nullopt;
    auto share = share_.try_acquire(bytes);
    if (!share) return std::nullopt;
    auto budget = budget_.try_acquire(bytes);
    if (!budget) return std::nullopt;
    return Lease(std::move(*share), std::move(*budget));
}

std::shared_ptr<SegmentBuffer> PrefetchMemory::try_buffer(std::uint64_t segment_bytes) {
    if (!has_room_for_buffers_of(segment_bytes)) return nullptr;
    auto lease = try_acquire(segment_bytes);
    if (!lease) return nullptr;
    return std::make_shared<SegmentBuffer>(std::move(*lease), static_cast<std::size_t>(segment_bytes));
}

} // namespace walgd::daemon
