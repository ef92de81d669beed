#include "daemon/schedule/task_store.hpp"

#include "common/archive/layout.hpp"
#include "common/base/in_quotes.hpp"

#include <fmt/format.h>

namespace walgd::daemon {

namespace {

constexpr std::uint64_t task_object_bytes_max = 64 << 10;

storage::ObjectKey record_key(Task task) {
    return storage::ObjectKey(fmt::format("{}schedule/{}.json", archive::own_folder, name_of(task)));
}

storage::ObjectKey note_key(Task task) {
    return storage::ObjectKey(fmt::format("{}schedule/{}-running.json", archive::own_folder, name_of(task)));
}

template <class Parse> auto read_object(storage::Storage& storage, storage::ObjectKey key, Parse parse)
    -> awaitable<decltype(parse(std::string_view()))> {
    try {
        const auto blob = co_await storage::get_whole(storage, key, task_object_bytes_max);
        if (blob) co_return parse(text_of(blob->view()));
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
    }
    co_return std::nullopt;
}

} // namespace

awaitable<std::optional<TaskRecord>> TaskStore::record(Task task) {
    return read_object(archive_.storage.answering(), record_key(task), parse_record);
}

awaitable<std::optional<RunningNote>> TaskStore::note(Task task) {
    return read_object(archive_.storage.answering(), note_key(task), parse_note);
}

awaitable<void> TaskStore::put_record(Task task, TaskRecord record, storage::PutOptions options) {
    const auto text = record_text(record);
    std::exception_ptr failure;
    try {
        co_await archive_.storage.put(record_key(task), bytes_of(text), std::move(options));
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) archive_.log.warn("event=schedule_record task={} error={}", name_of(task), in_quotes(describe(failure)));
}

template <class Result> awaitable<void> TaskStore::change_note(Task task, awaitable<Result> change) {
    std::exception_ptr failure;
    try {
        co_await std::move(change);
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure) co_return;
    if (as_error(failure).kind() == ErrorKind::cancelled) std::rethrow_exception(failure);
    archive_.log.debug("event=schedule_note task={} error={}", name_of(task), in_quotes(describe(failure)));
}

awaitable<void> TaskStore::put_note(Task task, RunningNote note) {
    const auto text = note_text(note);
    auto put = archive_.storage.put(note_key(task), bytes_of(text), {});
    co_await change_note(task, std::move(put));
}

awaitable<void> TaskStore::remove_note(Task task) {
    std::vector<storage::ObjectKey> keys{note_key(task)};
    auto remove = archive_.storage.answering().remove(std::move(keys));
    co_await change_note(task, std::move(remove));
}

} // namespace walgd::daemon
