#pragma once
#include "common/archive/archive.hpp"
#include "daemon/schedule/task_record.hpp"

namespace walgd::daemon {

/// What is kept of each task under walgd_005/schedule/ in the archive: how it went last, and which host is at it.
class TaskStore {
public:
    explicit TaskStore(archive::Archive& archive) : archive_(archive) {}

    /// Nothing also where it cannot be understood, or is too long to be one: the next run writes another.
    awaitable<std::optional<TaskRecord>> record(Task task);
    awaitable<std::optional<RunningNote>> note(Task task);
    /// What the storage did not take is told in the log alone: a record is remembered by who gave it.
    awaitable<void> put_record(Task task, TaskRecord record, storage::PutOptions options);
    /// Without it another host may do the same, which costs twice the time and no more.
    awaitable<void> put_note(Task task, RunningNote note);
    awaitable<void> remove_note(Task task);

private:
    template <class Result> awaitable<void> change_note(Task task, awaitable<Result> change);

    archive::Archive& archive_;
};

} // namespace walgd::daemon
