#pragma once
#include <boost/asio/basic_waitable_timer.hpp>
#include <chrono>

namespace walgd {

/// The steady clock of every wait that is ours: deadlines, backoff, polling. A test may stop it and wind it forward.
struct Clock {
    using duration = std::chrono::steady_clock::duration;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<Clock>;
    static constexpr bool is_steady = true;

    static time_point now();
    /// Tests only: from now on time passes by wind() alone, until released.
    static void stop();
    static void wind(duration by);
    static void release();
};

using Timer = boost::asio::basic_waitable_timer<Clock>;

} // namespace walgd
