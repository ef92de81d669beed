#pragma once
#include "common/base/clock.hpp"

namespace walgd::test {

/// While it lives time passes by Clock::wind() alone.
class StoppedClock {
public:
    StoppedClock() { Clock::stop(); }
    ~StoppedClock() { Clock::release(); }
    StoppedClock(const StoppedClock&) = delete;
};

} // namespace walgd::test
