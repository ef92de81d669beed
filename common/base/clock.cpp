#include "common/base/clock.hpp"

#include <atomic>

namespace walgd {

namespace {

/// Where a stopped clock stands; 0 while it runs.
std::atomic<Clock::rep> stopped_at = 0;

} // namespace

Clock::time_point Clock::now() {
    const auto at = stopped_at.load(std::memory_order_relaxed);
    return time_point(at != 0 ? duration(at) : std::chrono::steady_clock::now().time_since_epoch());
}

void Clock::stop() { stopped_at = std::chrono::steady_clock::now().time_since_epoch().count(); }
void Clock::wind(duration by) { stopped_at += by.count(); }
void Clock::release() { stopped_at = 0; }

} // namespace walgd
