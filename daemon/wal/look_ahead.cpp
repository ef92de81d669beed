#include "daemon/wal/look_ahead.hpp"
#include "common/base/in_quotes.hpp"

#include <fmt/format.h>

namespace walgd::daemon {

namespace {

/// A folder that is not there yet appears, a file system without inotify tells nothing.
constexpr std::chrono::seconds watch_again{5}, scan_every{30};

} // namespace

LookAhead::LookAhead(archive::Archive& archive, WalService& wal, Options options)
    : archive_(archive), wal_(wal), options_(std::move(options)), tasks_(archive.io, [this](std::exception_ptr failure) {
          if (as_error(failure).kind() != ErrorKind::cancelled)
              archive_.log.error("event=look_ahead_failed error={}", in_quotes(describe(failure)));
      }) {
    if (options_.pgdata.empty()) not_watching_ = "PGDATA is not set";
}

awaitable<void> LookAhead::run() {
    if (options_.pgdata.empty()) co_return;
    tasks_.spawn(pump());
    tasks_.spawn(scan_now_and_then());
    std::exception_ptr failure;
    try {
        co_await follow();
    } catch (...) {
        failure = std::current_exception();
    }
    tasks_.cancel();
    // A cancelled coroutine throws at every wait, at this one too, until it is told not to.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await tasks_.join();
    std::rethrow_exception(failure);
}

awaitable<void> LookAhead::follow() {
    for (;;) {
        std::optional<Error> failure;
        try {
            co_await follow_once();
        } catch (...) {
            failure = as_error(std::current_exception()); // none may end this
        }
        status_.reset();
        wal_.queue().ready_are({});
        if (failure->kind() == ErrorKind::cancelled) throw *failure;
        if (not_watching_ != failure->what())
            archive_.log.warn("event=not_looking_ahead error={} hint={}", in_quotes(failure->what()), in_quotes(failure->hint()));
        not_watching_ = failure->what();
        co_await sleep_for(watch_again);
    }
}

/// Ends with an Error.
awaitable<void> LookAhead::follow_once() {
    status_ = std::make_shared<ArchiveStatus>(archive_.io, options_.pgdata);
    const auto status = status_;
    co_await scan();
    archive_.log.info("event=looking_ahead pgdata={} ready={}", options_.pgdata, wal_.queue().ready_count());
    not_watching_.clear();
    for (;;) {
        const auto found = co_await status->next();
        for (const auto& change : found.changes) {
            if (change.ready)
                wal_.queue().ready(change.name);
            else
                wal_.queue().not_ready(change.name);
        }
        if (found.lost) {
            co_await scan();
        }
        wal_.queue_changed().notify();
    }
}

awaitable<void> LookAhead::scan_now_and_then() {
    for (;;) {
        co_await sleep_for(scan_every);
        if (!status_ || !status_->in_place()) continue;
        std::optional<Error> failure;
        try {
            co_await scan();
        } catch (...) {
            failure = as_error(std::current_exception()); // none may end this
        }
        if (failure && failure->kind() == ErrorKind::cancelled) throw *failure;
        if (failure) archive_.log.debug("event=not_scanned error={}", in_quotes(failure->what()));
    }
}

awaitable<void> LookAhead::scan() {
    auto work = [status = status_] { return status->scan(); };
    std::vector<std::string> names;
    std::exception_ptr failure;
    wal_.queue().scan_begins();
    try {
        names = co_await run_on(archive_.cpu, std::move(work));
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        wal_.queue().scan_failed();
        std::rethrow_exception(failure);
    }
    wal_.queue().ready_are(names);
    wal_.queue_changed().notify();
}

awaitable<void> LookAhead::pump() {
    for (;;) {
        const auto now = Clock::now();
        while (const auto name = wal_.queue().next(now)) {
            // What cannot be begun is left to PostgreSQL, until the next scan.
            if (!status_ || !begin(*name)) wal_.queue().not_ready(*name);
        }
        const auto latest = wal_.queue().retry_at().value_or(Clock::time_point::max());
        co_await wal_.queue_changed().wait(latest > now ? latest : Clock::time_point::max());
    }
}

bool LookAhead::begin(const std::string& name) {
    try {
        // A scan may be older than PostgreSQL's rename.
        if (!status_->is_ready(name)) return false;
        auto fd = status_->open(name);
        struct stat about{};
        if (!fd || ::fstat(fd.get(), &about) != 0) return false;
        const FileIdentity identity(about);
        wal_.queue().begin(name, identity, true);
        tasks_.spawn(store(name, identity, std::move(fd)));
        return true;
    } catch (...) {
        archive_.log.warn("event=not_stored_ahead segment={} error={}", name, in_quotes(describe(std::current_exception())));
        return false;
    }
}

awaitable<void> LookAhead::store(std::string name, FileIdentity identity, UniqueFd fd) {
    const bool stored = co_await wal_.store_ahead(name, identity, std::move(fd));
    if (stored && options_.ready_rename) mark_done(name, identity);
}

/// PostgreSQL does the same with what it asked for itself; a file that it is asking for is left to it. Meanwhile another cluster
/// may have come to that place, whose file of that name nobody has stored.
void LookAhead::mark_done(const std::string& name, const FileIdentity& identity) {
    if (!status_ || wal_.asked_for(name)) return;
    try {
        const auto fd = status_->open(name);
        struct stat about{};
        if (!fd || ::fstat(fd.get(), &about) != 0 || FileIdentity(about) != identity) return;
        if (status_->mark_done(name)) wal_.count_ready_renamed();
    } catch (const Error& error) {
        archive_.log.error("event=ready_not_renamed segment={} error={}", name, in_quotes(error.what()));
    }
}

} // namespace walgd::daemon
