#pragma once
#include "common/base/bytes.hpp"

#include <mutex>
#include <vector>

namespace walgd {

/// Buffers kept for the next user: a segment then pays no allocation and no page faults. Bounded, and given back by rest().
/// Thread-safe.
class BlobPool {
public:
    explicit BlobPool(std::size_t kept_max) : kept_max_(kept_max) {}

    /// Empty, with room for `bytes` at least.
    Blob take(std::size_t bytes) {
        const std::lock_guard lock(mutex_);
        for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
            if (kept->capacity() < bytes) continue;
            auto blob = std::move(*kept);
            kept_.erase(kept);
            return blob;
        }
        return Blob(bytes);
    }
    void keep(Blob blob) {
        const std::lock_guard lock(mutex_);
        if (blob.capacity() == 0 || kept_.size() == kept_max_) return;
        blob.clear();
        kept_.push_back(std::move(blob));
    }
    /// Gives what is kept back to the system.
    void rest() {
        const std::lock_guard lock(mutex_);
        kept_.clear();
    }

private:
    std::mutex mutex_;
    std::vector<Blob> kept_;
    const std::size_t kept_max_;
};

} // namespace walgd
