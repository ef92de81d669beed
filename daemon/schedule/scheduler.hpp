#pragma once
#include "common/archive/archive.hpp"
#include "common/base/worker_pool.hpp"
#include "common/pg/server.hpp"
#include "daemon/hooks.hpp"
#include "daemon/schedule/schedule.hpp"
#include "daemon/schedule/task_store.hpp"

#include <functional>
#include <nlohmann/json_fwd.hpp>

namespace walgd::daemon {

/// Runs what the schedule says, one after the other. How each task went is kept under walgd_005/schedule/ in the archive, where
/// the next host finds it; without it a task counts as set up now. While a task runs a note there keeps other hosts from
/// beginning it too, however long it takes.
class Scheduler {
public:
    /// Does a task to its end and says what came of it; throws when it failed.
    using Work = std::function<awaitable<std::string>()>;
    struct Parts {
        archive::Archive& archive;
        Hooks& hooks;
        pg::ConnectionOptions connection; ///< to learn whether this is the primary
        std::map<Task, Work> works;
        std::function<bool()> backup_running;
    };
    Scheduler(Schedule schedule, Parts parts);

    /// Until cancelled.
    awaitable<void> run();
    /// Tells other hosts what this one is at, again and again. Until cancelled.
    awaitable<void> tell_running();
    /// What `walg schedule`, status and page show: [{"what", "next", "overdue", "why", "last", "ok", "text", "host"}].
    nlohmann::ordered_json lines() const;
    /// How the tasks went when they ran last, on whatever host.
    const std::map<Task, TaskRecord>& records() const { return records_; }

private:
    awaitable<void> begin();
    awaitable<void> look();
    awaitable<void> perform(Schedule::Run run);
    awaitable<void> read_records();
    awaitable<void> keep(Task task, TaskRecord record, storage::PutOptions options = {});
    awaitable<Role> find_role();
    awaitable<bool> archive_is_ahead(pg::TimelineId timeline);
    Schedule::Facts facts() const { return {role_, parts_.backup_running(), records_, elsewhere()}; }
    std::map<Task, std::string> elsewhere() const;

    Schedule schedule_;
    Parts parts_;
    TaskStore store_;
    WorkerPool thread_; ///< asks the server
    Role role_ = Role::not_known;
    std::string trouble_; ///< the last one with records or the server, told once
    std::map<Task, TaskRecord> records_;
    std::map<Task, RunningNote> notes_; ///< of other hosts, as they were when something was due here
    std::optional<Task> doing_;
};

} // namespace walgd::daemon
