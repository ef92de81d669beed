#include "daemon/schedule/scheduler.hpp"

#include "common/archive/layout.hpp"
#include "common/base/host_name.hpp"
#include "common/base/in_quotes.hpp"
#include "common/base/time_text.hpp"
#include "common/pg/wal_name.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::daemon {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::chrono::seconds schedule_look_every{5};
constexpr std::chrono::minutes tell_every{5}, note_holds_for{15};

Calendar::Time now() { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); }

RunningNote note_of_now() { return {host_name(), now()}; }

} // namespace

Scheduler::Scheduler(Schedule schedule, Parts parts)
    : schedule_(std::move(schedule)), parts_(std::move(parts)), store_(parts_.archive), thread_(1) {}

awaitable<void> Scheduler::run() {
    if (schedule_.empty()) co_return;
    bool known = false;
    for (;;) {
        std::exception_ptr failure;
        try {
            if (!known) {
                co_await begin();
            }
            known = true;
            co_await look();
        } catch (...) {
            failure = std::current_exception();
        }
        if (failure) {
            if (as_error(failure).kind() == ErrorKind::cancelled) co_return;
            const auto text = describe(failure);
            if (text != trouble_) parts_.archive.log.warn("event=schedule_waits error={}", in_quotes(text));
            trouble_ = text;
        }
        co_await sleep_for(schedule_look_every);
    }
}

/// Learns how the tasks went, and notes those that are new, so that a first run which this host does not live to end is made up.
awaitable<void> Scheduler::begin() {
    co_await read_records();
    storage::PutOptions absent;
    absent.if_absent = true; // another host may be quicker
    for (const auto& [task, record] : schedule_.first_records(records_)) {
        co_await keep(task, record, absent);
    }
}

/// Runs what is due. The server and the other hosts' records are asked only when something is.
awaitable<void> Scheduler::look() {
    bool due = false;
    for (const auto& line : schedule_.lines(facts(), now())) due = due || (line.overdue && line.next && *line.next <= now());
    if (!due) co_return;
    co_await read_records();
    role_ = co_await find_role();
    const auto run = schedule_.choose(facts(), now());
    if (run) {
        co_await perform(*run);
    }
}

awaitable<Role> Scheduler::find_role() {
    auto ask = [this]() -> std::optional<pg::ServerFacts> {
        try {
            return pg::Server::connect(parts_.connection)->facts();
        } catch (const Error& error) {
            parts_.archive.log.debug("event=schedule_role error={}", in_quotes(error.what()));
            return std::nullopt;
        }
    };
    const auto facts = co_await run_on(thread_.get_executor(), std::move(ask));
    if (!facts) co_return Role::not_known;
    if (facts->in_recovery) co_return Role::standby;
    const bool left = co_await archive_is_ahead(facts->timeline);
    co_return left ? Role::left : Role::primary;
}

/// Whether the WAL folder has the history of a timeline after `timeline`: the first that a promoted server archives.
awaitable<bool> Scheduler::archive_is_ahead(pg::TimelineId timeline) {
    constexpr std::size_t name_length = std::string_view("TTTTTTTT.history").size();
    storage::ListOptions options;
    options.after = fmt::format("{:08X}", timeline.number() + 1);
    do {
        const auto page = co_await parts_.archive.storage.answering().list(std::string(archive::wal_folder), options);
        for (const auto& object : page.objects) {
            const auto name = object.key.path().substr(archive::wal_folder.size());
            if (pg::wal_file_kind(name.substr(0, name_length)) == pg::WalFileKind::history) co_return true;
        }
        options.token = page.next;
    } while (options.token);
    co_return false;
}

awaitable<void> Scheduler::perform(Schedule::Run run) {
    const std::string what(name_of(run.task));
    parts_.archive.log.info("event=scheduled_task task={} due={}", what, format_time(run.due));
    const auto before = records_.find(run.task);
    const bool again = before != records_.end() && before->second.due == run.due;
    TaskRecord record{run.due, {}, 0, {}, host_name()};
    std::exception_ptr failure;
    doing_ = run.task;
    co_await store_.put_note(run.task, note_of_now());
    try {
        auto work = parts_.works.at(run.task)();
        auto text = co_await std::move(work);
        record.text = kept_text(std::move(text));
    } catch (...) {
        failure = std::current_exception();
    }
    doing_.reset();
    if (failure && as_error(failure).kind() == ErrorKind::cancelled) std::rethrow_exception(failure);
    if (failure) {
        record.text = kept_text(describe(failure));
        record.failures = (again ? before->second.failures : 0) + 1;
        parts_.archive.log.error("event=scheduled_task_failed task={} error={}", what, in_quotes(record.text));
    }
    record.ended = now();
    const auto kind = run.task == Task::full || run.task == Task::delta ? std::string("backup") : what;
    parts_.hooks.notify(kind + (failure ? "_failed" : "_done"),
                        {{"task", what}, {"due", format_time(run.due)}, {"text", record.text}, {"host", record.host}});
    for (const auto& [task, kept] : schedule_.records_after(run, record, records_)) {
        co_await keep(task, kept);
    }
    co_await store_.remove_note(run.task);
}

std::map<Task, std::string> Scheduler::elsewhere() const {
    std::map<Task, std::string> hosts;
    for (const auto& [task, note] : notes_) {
        const auto age = now() - note.at;
        // One from the future was written by a clock that is wrong, and may hold for ever.
        if (note.host != host_name() && age < note_holds_for && age > -note_holds_for) hosts[task] = note.host;
    }
    return hosts;
}

awaitable<void> Scheduler::tell_running() {
    for (;;) {
        co_await sleep_for(tell_every);
        if (!doing_) continue;
        co_await store_.put_note(*doing_, note_of_now());
    }
}

/// The next look goes by what is remembered here, also where the storage does not take it.
awaitable<void> Scheduler::keep(Task task, TaskRecord record, storage::PutOptions options) {
    records_[task] = record;
    co_await store_.put_record(task, std::move(record), std::move(options));
}

/// Of each task the newer one of what the archive has and what is remembered.
awaitable<void> Scheduler::read_records() {
    notes_.clear();
    for (const auto& [task, calendar] : schedule_.calendars()) {
        auto note = co_await store_.note(task);
        if (note) notes_[task] = std::move(*note);
        auto record = co_await store_.record(task);
        if (!record) continue;
        const auto known = records_.find(task);
        if (known == records_.end() || known->second.ended < record->ended) records_[task] = std::move(*record);
    }
}

Json Scheduler::lines() const {
    auto all = Json::array();
    for (const auto& line : schedule_.lines(facts(), now())) {
        Json text{{"what", name_of(line.task)},
                  {"next", line.next ? format_time(*line.next) : ""},
                  {"overdue", line.overdue},
                  {"why", line.why}};
        const auto record = records_.find(line.task);
        if (record != records_.end() && record->second.ran()) {
            text["last"] = format_time(record->second.ended);
            text["ok"] = record->second.failures == 0;
            text["text"] = record->second.text;
            text["host"] = record->second.host;
        }
        all.push_back(std::move(text));
    }
    return all;
}

} // namespace walgd::daemon
