#include "daemon/wal/wal_service.hpp"

#include "common/base/counted.hpp"
#include "common/base/in_quotes.hpp"

#include <fmt/format.h>

namespace walgd::daemon {

namespace {

constexpr std::chrono::seconds probe_again{10}, quiet_for{3};

archive::WalPushOptions push_options() {
    archive::WalPushOptions options;
    options.conditional_put = archive::ConditionalPut::look_first;
    return options;
}

std::int64_t ms_since(std::chrono::steady_clock::time_point began) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count();
}

} // namespace

WalService::WalService(archive::Archive& archive, WalLimits limits, PrefetchOptions prefetch, CommitIndexer* index)
    : archive_(archive), limits_(limits), slots_(archive.io, limits.concurrency + 2), fetch_slots_(archive.io, limits.fetches),
      pusher_(archive, push_options(), limits.concurrency), fetcher_(archive), prefetch_(archive, fetcher_, std::move(prefetch)),
      index_(index), queue_({.ahead_files = limits.ahead_files, .ahead_at_once = limits.concurrency + 1}),
      queue_changed_(archive.io) {}

void WalService::note_failure(std::string_view what, const std::string& name, const std::exception_ptr& failure) {
    counters_.last_error = fmt::format("{} {}: {}", what, name, describe(failure));
    counters_.last_error_at = std::chrono::system_clock::now();
    counters_.error_moment = std::chrono::steady_clock::now();
    archive_.log.error("event={} segment={} error={}", what, name, in_quotes(describe(failure)));
}

void WalService::note_stored(const std::string& name, const archive::WalPushed& result) {
    counters_.last_pushed = name;
    counters_.last_pushed_at = std::chrono::system_clock::now();
    counters_.pushed_moment = std::chrono::steady_clock::now();
    if (on_stored_) on_stored_(name, result);
    if (result.already_there || result.stored_bytes == 0) return; // counted when it was stored
    counters_.plain_bytes += result.plain_bytes;
    counters_.stored_bytes += result.stored_bytes;
}

awaitable<archive::WalPushed> WalService::push(std::string name, UniqueFd fd) {
    const auto began = last_request_ = std::chrono::steady_clock::now();
    const Counted in_flight(counters_.in_flight);
    archive::WalPushed result;
    std::exception_ptr failure;
    const auto asked = asked_for_.insert(name);
    auto story = [&]() -> awaitable<void> { result = co_await push_or_join(name, std::move(fd)); };
    try {
        co_await within(limits_.push_timeout, story(),
                        fmt::format("{} was not stored within {} s", name, limits_.push_timeout.count() / 1000));
    } catch (...) {
        failure = std::current_exception();
    }
    asked_for_.erase(asked);
    if (failure) {
        ++counters_.push_failed;
        note_failure("wal_push_failed", name, failure);
        counters_.push_failed_moment = counters_.error_moment;
        std::rethrow_exception(failure);
    }
    ++(result.already_there ? counters_.already_there : counters_.pushed);
    counters_.push.add(std::chrono::steady_clock::now() - began);
    note_stored(name, result);
    archive_.log.info("event=wal_pushed segment={} bytes={} stored={} already_there={} ms={}", name, result.plain_bytes,
                      result.stored_bytes, result.already_there, ms_since(began));
    co_return result;
}

awaitable<archive::WalPushed> WalService::push_or_join(std::string name, UniqueFd fd) {
    struct stat about{};
    if (::fstat(fd.get(), &about) != 0) throw_errno(fmt::format("cannot look at {}", name));
    const FileIdentity identity(about);
    for (;;) {
        const auto known = queue_.find(name, identity);
        if (known == WalQueue::State::stored) {
            ++counters_.answered_at_once;
            co_return archive::WalPushed{.already_there = false, .plain_bytes = identity.size, .stored_bytes = 0};
        }
        if (known == WalQueue::State::in_flight) {
            co_await queue_changed_.wait();
            continue;
        }
        const auto place = co_await take_place();
        // It may have been begun while we stood in line.
        const auto meanwhile = queue_.find(name, identity);
        if (meanwhile == WalQueue::State::in_flight || meanwhile == WalQueue::State::stored) continue;
        const auto pushed = co_await begin_and_push(name, identity, std::move(fd));
        co_return pushed;
    }
}

awaitable<Slots::Slot> WalService::take_place() {
    const auto began = std::chrono::steady_clock::now();
    auto place = co_await slots_.take();
    counters_.waiting.add(std::chrono::steady_clock::now() - began);
    co_return place;
}

/// A push that is given up as its turn comes does not come here: the queue hears of none that it would not hear the end of.
awaitable<archive::WalPushed> WalService::begin_and_push(std::string name, FileIdentity identity, UniqueFd fd) {
    queue_.begin(name, identity, false);
    const auto pushed = co_await push_begun(name, identity, std::move(fd));
    co_return pushed;
}

/// Pushes it, and tells the queue how that ended.
awaitable<archive::WalPushed> WalService::push_begun(std::string name, FileIdentity identity, UniqueFd fd) {
    archive::WalPushed result;
    std::exception_ptr failure;
    choose_level();
    std::shared_ptr<archive::SegmentScan> scan;
    if (index_ != nullptr && pg::wal_file_kind(name) == pg::WalFileKind::segment)
        scan = std::make_shared<archive::SegmentScan>(name);
    try {
        result = co_await pusher_.push(name, std::move(fd), scan.get());
    } catch (...) {
        failure = std::current_exception();
    }
    const auto kind = failure ? as_error(failure).kind() : ErrorKind::failed;
    const bool lasting = kind == ErrorKind::refused || kind == ErrorKind::corrupt;
    queue_.end(name, identity,
               !failure  ? WalQueue::Outcome::stored
               : lasting ? WalQueue::Outcome::refused
                         : WalQueue::Outcome::failed,
               Clock::now());
    queue_changed_.notify();
    if (failure) std::rethrow_exception(failure);
    if (result.putting.count() > 0) {
        counters_.packing.add(result.packing);
        counters_.putting.add(result.putting);
    }
    if (scan) index_->add(std::move(scan), result.stored_bytes);
    co_return result;
}

awaitable<bool> WalService::store_ahead(std::string name, FileIdentity identity, UniqueFd fd) {
    const auto began = std::chrono::steady_clock::now();
    archive::WalPushed result;
    std::exception_ptr failure;
    std::optional<Slots::Slot> slot;
    try {
        auto taken = co_await take_place();
        slot.emplace(std::move(taken));
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        queue_.end(name, identity, WalQueue::Outcome::failed, Clock::now());
        std::rethrow_exception(failure);
    }
    try {
        result = co_await push_begun(name, identity, std::move(fd));
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        const auto error = as_error(failure);
        if (error.kind() == ErrorKind::cancelled) std::rethrow_exception(failure);
        ++counters_.ahead_failed;
        note_failure("wal_store_ahead_failed", name, failure);
        co_return false;
    }
    ++counters_.stored_ahead;
    note_stored(name, result);
    archive_.log.info("event=wal_stored_ahead segment={} bytes={} stored={} already_there={} ms={}", name, result.plain_bytes,
                      result.stored_bytes, result.already_there, ms_since(began));
    co_return true;
}

/// By how much waits: what is .ready and not stored, or, where that cannot be seen, who stands in line.
void WalService::choose_level() {
    if (!limits_.level) return;
    const auto waiting = std::max(queue_.backlog(), slots_.waiting() + 1);
    if (!limits_.level->consider(waiting, Clock::now())) return;
    ++counters_.level_changes;
    pusher_.options().level = limits_.level->level();
    archive_.log.info("event=compression_level zstd_level={} waiting={}", limits_.level->level(), waiting);
}

awaitable<archive::Fetched> WalService::fetch(std::string name, UniqueFd fd) {
    const auto began = last_request_ = std::chrono::steady_clock::now();
    const Counted in_flight(counters_.in_flight);
    std::optional<std::uint64_t> bytes;
    bool prefetched = true;
    std::exception_ptr failure;
    auto story = [&]() -> awaitable<void> {
        bytes = co_await prefetch_.serve(name, fd.get());
        if (bytes) co_return;
        prefetched = false;
        const auto place = co_await fetch_slots_.take();
        bytes = co_await fetcher_.fetch_into(name, fd.get());
    };
    try {
        co_await within(limits_.fetch_timeout, story(),
                        fmt::format("the storage did not give {} within {} s", name, limits_.fetch_timeout.count() / 1000));
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        ++counters_.fetch_failed;
        note_failure("wal_fetch_failed", name, failure);
        std::rethrow_exception(failure);
    }
    if (!bytes) {
        ++counters_.fetch_absent;
        prefetch_.refused(name);
        archive_.log.debug("event=wal_absent segment={} ms={}", name, ms_since(began));
        co_return archive::Fetched::absent;
    }
    ++counters_.fetched;
    counters_.fetched_bytes += *bytes;
    counters_.fetch.add(std::chrono::steady_clock::now() - began);
    prefetch_.answered(name, *bytes);
    archive_.log.info("event=wal_fetched segment={} bytes={} prefetched={} ms={}", name, *bytes, prefetched, ms_since(began));
    co_return archive::Fetched::stored;
}

awaitable<void> WalService::run_rest() {
    for (;;) {
        co_await sleep_for(quiet_for);
        pusher_.rest_if_quiet();
    }
}

awaitable<void> WalService::find_out_conditional_put() {
    for (;;) {
        std::optional<Error> failure;
        try {
            const auto found = co_await archive::probe_conditional_put(archive_);
            pusher_.options().conditional_put = found;
            conditional_put_known_ = true;
            if (conditional_put())
                archive_.log.info("event=conditional_put works=true storage={}", archive_.storage.describe());
            else
                archive_.log.warn("event=conditional_put works=false storage={} text=\"the storage ignores If-None-Match: walgd "
                                  "looks before it puts, and cannot see a writer that comes between\"",
                                  archive_.storage.describe());
            co_await pusher_.warm_up();
            co_await archive::remove_old_probes(archive_);
            co_return;
        } catch (...) {
            failure = as_error(std::current_exception()); // none may end this
        }
        if (failure->kind() == ErrorKind::cancelled) co_return;
        archive_.log.warn("event=storage_not_usable error={} hint={}", in_quotes(failure->what()), in_quotes(failure->hint()));
        co_await sleep_for(probe_again);
    }
}

} // namespace walgd::daemon
