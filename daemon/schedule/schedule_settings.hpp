#pragma once
#include "config/settings.hpp"
#include "daemon/schedule/schedule.hpp"

namespace walgd::daemon {

/// The calendars of schedule_full, schedule_delta, schedule_verify and schedule_retention. Error(misconfigured) names the setting
/// that is wrong. What was due before `started` and never ran is not missed.
Schedule schedule_of(const config::Settings& settings, Calendar::Time started);

} // namespace walgd::daemon
