#pragma once
#include <bitset>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace walgd::daemon {

/// When something is due: cron's five fields (minute, hour, day of the month, month, day of the week; crontab(5)), with lists,
/// ranges, steps and names, or @hourly, @daily, @weekly, @monthly, @yearly. Days of the month and of the week are alternatives
/// where both are given, as cron has it.
class Calendar {
public:
    using Time = std::chrono::sys_seconds;

    /// Error(misconfigured) that says which field is wrong and why. `zone` is a name of the tz database, or "UTC".
    Calendar(std::string_view expression, std::string_view zone);

    /// The first due time after `time`; nothing where there is none within eight years (30 February). A time that the clocks skip
    /// is due when they go on; one that comes twice is due the first time.
    std::optional<Time> next_after(Time time) const;
    /// The last due time at or before `time`, within a year.
    std::optional<Time> last_until(Time time) const;

private:
    bool on(std::chrono::local_days day) const;
    std::optional<std::chrono::local_seconds> next_local(std::chrono::local_seconds after) const;
    Time to_system(std::chrono::local_seconds local) const;
    std::chrono::local_seconds to_local(Time time) const;

    std::string zone_;
    std::bitset<60> minutes_;
    std::bitset<24> hours_;
    std::bitset<32> days_;
    std::bitset<13> months_;
    std::bitset<7> weekdays_;
    bool any_day_ = true, any_weekday_ = true;
};

} // namespace walgd::daemon
