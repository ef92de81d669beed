#include "daemon/schedule/schedule.hpp"

#include "common/base/time_text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <functional>

namespace walgd::daemon {

namespace {

using namespace std::chrono;

/// How long whoever has the first right may take to begin.
constexpr minutes others_first{30};

/// A record of a time that is further ahead was written by a clock that was wrong, and says nothing.
constexpr hours clocks_apart{1};

/// After so many failures in a row: 10 minutes, then twice as long each time, two hours at most.
minutes delay_after(unsigned failures) {
    constexpr minutes first{10}, longest{120};
    return failures == 0 ? minutes(0) : std::min(longest, first * (1 << std::min(failures - 1, 5U)));
}

bool is_backup(Task task) { return task == Task::full || task == Task::delta; }

} // namespace

Schedule::Schedule(Options options, Calendar::Time started) : options_(std::move(options)), started_(started) {}

std::map<Task, TaskRecord> Schedule::first_records(const std::map<Task, TaskRecord>& known) const {
    std::map<Task, TaskRecord> first;
    for (const auto& [task, calendar] : options_.calendars) {
        if (!known.contains(task)) first[task] = {started_, {}, 0, {}, options_.host};
    }
    return first;
}

/// Half of the way to the next due time at most: that one must not come first.
seconds Schedule::jitter_of(Task task, Calendar::Time due) const {
    const auto next = options_.calendars.at(task).next_after(due);
    const auto most = next ? std::min<seconds>(options_.jitter, (*next - due) / 2) : options_.jitter;
    if (most.count() <= 0) return seconds(0);
    const auto text = fmt::format("{} {} {}", options_.host, name_of(task), due.time_since_epoch().count());
    return seconds(static_cast<std::int64_t>(std::hash<std::string>()(text) % static_cast<std::size_t>(most.count() + 1)));
}

std::optional<Schedule::Due> Schedule::unserved(Task task, const std::map<Task, TaskRecord>& records, Calendar::Time now) const {
    const auto due = options_.calendars.at(task).last_until(now);
    if (!due) return std::nullopt;
    const auto record = records.find(task);
    const bool known = record != records.end();
    if (!known && *due <= started_) return std::nullopt; // was due before anyone had set it up
    const auto believed = [now](Calendar::Time time) { return time <= now + clocks_apart; };
    const bool tried = known && record->second.due >= *due && believed(record->second.due) && believed(record->second.ended);
    if (tried && record->second.failures == 0) return std::nullopt;
    const auto at = tried ? record->second.ended + delay_after(record->second.failures) : *due + jitter_of(task, *due);
    return Due{*due, at};
}

/// Of what each host can do: without an order all would begin in the same moment.
bool Schedule::comes_second(Role role) const {
    if (role == Role::left) return true;
    return (options_.runs_on == RunsOn::primary && role == Role::standby) ||
           (options_.runs_on == RunsOn::standby && role == Role::primary);
}

/// A backup of either kind may serve the other. Empty: nobody.
std::string Schedule::who_is_at(Task task, const Facts& facts) {
    for (const auto& [other, host] : facts.elsewhere) {
        if (other == task || (is_backup(other) && is_backup(task))) return host;
    }
    return {};
}

/// Empty: it may run.
std::string Schedule::hindrance(Task task, const Due& due, const Facts& facts, Calendar::Time now) const {
    if (facts.backup_running) return "a base backup is running";
    if (const auto host = who_is_at(task, facts); !host.empty()) return fmt::format("{} is at it", host);
    if (is_backup(task)) {
        if (facts.role == Role::not_known) return "PostgreSQL does not answer";
        if (options_.runs_on == RunsOn::primary && facts.role == Role::standby)
            return "this server is a standby, and schedule_on is primary";
        if (options_.runs_on == RunsOn::standby && facts.role != Role::standby && now < due.due + others_first)
            return "a standby may take it for half an hour (schedule_on)";
        if (facts.role == Role::left && now < due.due + others_first)
            return "the archive has a newer timeline than this server, which may have been left in a failover: the newer one's "
                   "server may take it for half an hour";
        return {};
    }
    if (comes_second(facts.role) && now < due.due + others_first)
        return "any host can do it, and another one than this may take it for half an hour (schedule_on)";
    if (task != Task::retention) return {};
    for (const auto backup : {Task::full, Task::delta}) {
        if (options_.calendars.contains(backup) && unserved(backup, facts.records, now))
            return fmt::format("a {} backup is overdue: nothing is deleted before it is there", name_of(backup));
    }
    return {};
}

std::vector<Schedule::Line> Schedule::lines(const Facts& facts, Calendar::Time now) const {
    std::vector<Line> lines;
    for (const auto& [task, calendar] : options_.calendars) {
        const auto due = unserved(task, facts.records, now);
        if (!due) {
            const auto next = calendar.next_after(now);
            lines.push_back({task, next ? std::optional(*next + jitter_of(task, *next)) : std::nullopt, false, {}});
            continue;
        }
        const auto record = facts.records.find(task);
        auto why =
            due->at > now && record != facts.records.end() && record->second.failures > 0
                ? fmt::format("it failed {} times and is tried again at {}", record->second.failures, time_or_dash(due->at))
            : due->at > now ? std::string("schedule_jitter")
                            : hindrance(task, *due, facts, now);
        lines.push_back({task, due->at, true, std::move(why)});
    }
    return lines;
}

std::optional<Schedule::Run> Schedule::choose(const Facts& facts, Calendar::Time now) const {
    for (const auto& [task, calendar] : options_.calendars) {
        const auto due = unserved(task, facts.records, now);
        if (!due || due->at > now) continue;
        if (hindrance(task, *due, facts, now).empty()) return Run{task, due->due};
    }
    return std::nullopt;
}

std::map<Task, TaskRecord> Schedule::records_after(const Run& run, const TaskRecord& record,
                                                   const std::map<Task, TaskRecord>& before) const {
    std::map<Task, TaskRecord> after{{run.task, record}};
    const auto delta = options_.calendars.find(Task::delta);
    if (run.task != Task::full || record.failures > 0 || delta == options_.calendars.end()) return after;
    const auto known = before.find(Task::delta);
    const auto due = delta->second.last_until(record.ended);
    if (due && (known == before.end() || known->second.due < *due || known->second.failures > 0)) {
        after[Task::delta] = record;
        after[Task::delta].due = *due;
    }
    return after;
}

} // namespace walgd::daemon
