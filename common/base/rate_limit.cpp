#include "common/base/rate_limit.hpp"

#include <algorithm>

namespace walgd {

Clock::duration RateLimit::take(std::uint64_t bytes) {
    const std::chrono::duration<double> needed(static_cast<double>(bytes) / static_cast<double>(bytes_per_second_));
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    taken_until_ = std::max(taken_until_, now - std::chrono::seconds(1)) + std::chrono::duration_cast<Clock::duration>(needed);
    return std::max(Clock::duration(0), taken_until_ - now);
}

} // namespace walgd
