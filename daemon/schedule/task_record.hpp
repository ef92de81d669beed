#pragma once
#include "daemon/schedule/calendar.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace walgd::daemon {

/// What is done by the calendar. In this order where several are due: what is later waits for what is before it.
enum class Task { full, delta, verify, retention };
std::string_view name_of(Task task);

/// How a task went when it ran last, on whatever host: kept in the archive, so that a failover goes on where the other host was.
struct TaskRecord {
    Calendar::Time due{};   ///< which due time that run was for; before the first one: when the task was set up
    Calendar::Time ended{}; ///< wall clock; the epoch before the first run
    unsigned failures = 0;  ///< in a row, for this due time; 0: it went well
    std::string text;       ///< what came of it, or why it failed
    std::string host;

    bool ran() const { return ended != Calendar::Time{}; }
};

/// As much of what came of a task as is kept and told: its beginning.
std::string kept_text(std::string text);
/// As it is kept: {"due", "ended", "failures", "text", "host"}.
std::string record_text(const TaskRecord& record);
/// Nothing, if it is not what record_text writes.
std::optional<TaskRecord> parse_record(std::string_view text);

/// That a host is at a task: told anew while it is, so that a host that died keeps no other one waiting.
struct RunningNote {
    std::string host;
    Calendar::Time at{};
};
/// As it is kept: {"host", "at"}.
std::string note_text(const RunningNote& note);
/// Nothing, if it is not what note_text writes.
std::optional<RunningNote> parse_note(std::string_view text);

} // namespace walgd::daemon
