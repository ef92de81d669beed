#pragma once
#include <chrono>
#include <map>
#include <spdlog/common.h>
#include <string>
#include <string_view>
#include <vector>

namespace walgd {

/// Decides which warnings and errors are told: in an outage the same one comes hundreds of times. It is told once, and what is
/// like it in the minute after is counted. Alike are errors of the same text, since each names what a person must look after, and
/// warnings that differ in numbers only. Other lines are always told.
///
/// Pure: the time comes with each call. Not for two threads at once.
class LogRepeats {
public:
    using Time = std::chrono::system_clock::time_point;
    static constexpr std::chrono::seconds window{60};

    /// What was counted, with the first line that it is like.
    struct Count {
        spdlog::level::level_enum level;
        std::string text;
    };

    /// False: it is counted.
    bool tell(spdlog::level::level_enum level, std::string_view text, Time now);
    /// The counts of the windows that are over; all of them, if `at_end`.
    std::vector<Count> due(Time now, bool at_end = false);

private:
    struct Seen {
        Time since;
        spdlog::level::level_enum level;
        std::string first;
        std::size_t more = 0;
    };
    std::map<std::string, Seen> seen_;
};

} // namespace walgd
