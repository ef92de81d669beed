#pragma once
#include "common/base/clock.hpp"

#include <cstdint>
#include <mutex>

namespace walgd {

/// So many bytes a second, over all who take of it; what was not used lasts for one second. Thread-safe.
class RateLimit {
public:
    /// Not 0.
    explicit RateLimit(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}

    /// Takes `bytes`; returns how long the taker then waits, so that the rate holds. Any number is given: a taker of much waits
    /// long.
    Clock::duration take(std::uint64_t bytes);

private:
    const std::uint64_t bytes_per_second_;
    std::mutex mutex_;
    Clock::time_point taken_until_ = Clock::now() - std::chrono::seconds(1); ///< the time that all bytes taken so far need
};

} // namespace walgd
