#pragma once
#include "daemon/schedule/calendar.hpp"
#include "daemon/schedule/task_record.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace walgd::daemon {

/// What the server is, as far as it concerns who runs a task.
enum class Role {
    primary,
    left, ///< a primary, but the archive has a newer timeline: another server may have been promoted
    standby,
    not_known
};
enum class RunsOn { primary, standby, any }; ///< standby: the primary takes it when no standby did within half an hour

/// The calendar's rules, without a clock, a server or a storage of their own.
class Schedule {
public:
    struct Options {
        std::map<Task, Calendar> calendars;
        std::chrono::seconds jitter{0}; ///< up to so much after the due time, the same for one host and due time
        RunsOn runs_on = RunsOn::primary;
        std::string host;
    };
    /// `started`: what was due before, and has no record, is not missed.
    Schedule(Options options, Calendar::Time started);

    /// The records of tasks that have none yet: what comes due from now on is missed when it does not run, also the first time.
    std::map<Task, TaskRecord> first_records(const std::map<Task, TaskRecord>& known) const;

    struct Facts {
        Role role = Role::not_known;
        bool backup_running = false;
        const std::map<Task, TaskRecord>& records;
        std::map<Task, std::string> elsewhere{}; ///< what other hosts are at: their names
    };
    /// One line of `walg schedule`.
    struct Line {
        Task task{};
        std::optional<Calendar::Time> next; ///< when it runs, or should have; nothing: the calendar has no further time
        bool overdue = false;
        std::string why; ///< why an overdue task does not run now
    };
    std::vector<Line> lines(const Facts& facts, Calendar::Time now) const;

    struct Run {
        Task task{};
        Calendar::Time due{};
    };
    /// What to run now; nothing when nothing is due, or what is due has to wait.
    std::optional<Run> choose(const Facts& facts, Calendar::Time now) const;
    /// The records of `run` and of the tasks that it makes needless: a full backup is a delta as well.
    std::map<Task, TaskRecord> records_after(const Run& run, const TaskRecord& record,
                                             const std::map<Task, TaskRecord>& before) const;
    /// Whether anything is configured.
    bool empty() const { return options_.calendars.empty(); }
    const std::map<Task, Calendar>& calendars() const { return options_.calendars; }

private:
    struct Due {
        Calendar::Time due{}, at{}; ///< the calendar's time, and with jitter and delays after failures
    };
    /// The due time that was not served yet; nothing when all were.
    std::optional<Due> unserved(Task task, const std::map<Task, TaskRecord>& records, Calendar::Time now) const;
    bool comes_second(Role role) const;
    static std::string who_is_at(Task task, const Facts& facts);
    std::string hindrance(Task task, const Due& due, const Facts& facts, Calendar::Time now) const;
    std::chrono::seconds jitter_of(Task task, Calendar::Time due) const;

    Options options_;
    Calendar::Time started_;
};

} // namespace walgd::daemon
