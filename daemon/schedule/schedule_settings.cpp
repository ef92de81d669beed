#include "daemon/schedule/schedule_settings.hpp"

#include "common/base/host_name.hpp"
#include "config/process.hpp"

#include <fmt/format.h>

namespace walgd::daemon {

Schedule schedule_of(const config::Settings& settings, Calendar::Time started) {
    Schedule::Options options;
    for (const auto task : {Task::full, Task::delta, Task::verify, Task::retention}) {
        const auto setting = fmt::format("schedule_{}", name_of(task));
        const auto expression = settings.text(setting);
        if (expression.empty()) continue;
        try {
            const Calendar calendar(expression, settings.text("schedule_timezone"));
            if (!calendar.next_after(started))
                throw Error(ErrorKind::misconfigured,
                            fmt::format("'{}' never comes: none of its months has such a day", expression),
                            "days up to the 28th are in every month");
            options.calendars.emplace(task, calendar);
        } catch (const Error& error) {
            throw Error(ErrorKind::misconfigured,
                        fmt::format("{} (from {}): {}", setting, settings.source(setting), error.what()), error.hint());
        }
    }
    if (options.calendars.contains(Task::retention) && !config::retention_policy(settings).given())
        throw Error(ErrorKind::misconfigured, "schedule_retention is given, but nothing says what is to stay",
                    "set keep_full, keep_days, keep_weekly or keep_monthly");
    const auto on = settings.text("schedule_on");
    options.runs_on = on == "primary" ? RunsOn::primary : on == "standby" ? RunsOn::standby : RunsOn::any;
    options.jitter = std::chrono::floor<std::chrono::seconds>(settings.duration("schedule_jitter"));
    options.host = host_name();
    return {std::move(options), started};
}

} // namespace walgd::daemon
