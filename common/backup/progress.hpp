#pragma once
#include <atomic>
#include <cstdint>

namespace walgd::backup {

/// Of a push and of a fetch; as a number in proto::Type::progress, so that new ones come last.
enum class Phase { starting, copying, waiting_for_wal, finishing, syncing, done };

/// Told by the job's threads, read by whoever shows it.
struct Progress {
    std::atomic<Phase> phase = Phase::starting;
    std::atomic<std::uint64_t> bytes_total = 0;  ///< 0: not known yet
    std::atomic<std::uint64_t> bytes_done = 0;   ///< plain bytes read (push) or written (fetch)
    std::atomic<std::uint64_t> stored_bytes = 0; ///< bytes sent to, or got from, the storage
    std::atomic<std::uint64_t> files_done = 0;
};

} // namespace walgd::backup
