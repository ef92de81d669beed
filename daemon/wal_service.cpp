#include "daemon/wal_service.hpp"

#include <fmt/format.h>

namespace walgd::daemon {

namespace {

constexpr std::chrono::seconds probe_again{10};

archive::WalPushOptions push_options() {
    archive::WalPushOptions options;
    options.conditional_put = archive::ConditionalPut::look_first;
    return options;
}

std::int64_t ms_since(std::chrono::steady_clock::time_point began) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count();
}

/// Counts what is under way while it lives.
class InFlight {
public:
    explicit InFlight(unsigned& counter) : counter_(counter) { ++counter_; }
    ~InFlight() { --counter_; }
    InFlight(const InFlight&) = delete;

private:
    unsigned& counter_;
};

} // namespace

WalService::WalService(archive::Archive& archive, WalLimits limits)
    : archive_(archive), limits_(limits), slots_(archive.io, limits.concurrency), pusher_(archive, push_options()),
      fetcher_(archive) {}

void WalService::note_failure(std::string_view what, const std::string& name, const std::exception_ptr& failure) {
    counters_.last_error = fmt::format("{} {}: {}", what, name, describe(failure));
    counters_.last_error_at = std::chrono::system_clock::now();
    archive_.log.error("event={} segment={} error=\"{}\"", what, name, describe(failure));
}

awaitable<archive::WalPushed> WalService::push(std::string name, UniqueFd fd) {
    const auto began = last_request_ = std::chrono::steady_clock::now();
    const InFlight in_flight(counters_.in_flight);
    archive::WalPushed result;
    std::exception_ptr failure;
    auto story = [&]() -> awaitable<void> {
        const auto slot = co_await slots_.take();
        result = co_await pusher_.push(name, std::move(fd));
    };
    try {
        co_await within(limits_.push_timeout, story(),
                        fmt::format("{} was not stored within {} s", name, limits_.push_timeout.count() / 1000));
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        ++counters_.push_failed;
        note_failure("wal_push_failed", name, failure);
        std::rethrow_exception(failure);
    }
    ++(result.already_there ? counters_.already_there : counters_.pushed);
    counters_.last_pushed = name;
    counters_.last_pushed_at = std::chrono::system_clock::now();
    archive_.log.info("event=wal_pushed segment={} bytes={} stored={} already_there={} ms={}", name, result.plain_bytes,
                      result.stored_bytes, result.already_there, ms_since(began));
    co_return result;
}

awaitable<archive::Fetched> WalService::fetch(std::string name, UniqueFd fd) {
    const auto began = last_request_ = std::chrono::steady_clock::now();
    auto fetched = archive::Fetched::absent;
    std::exception_ptr failure;
    auto story = [&]() -> awaitable<void> { fetched = co_await fetcher_.fetch_into(name, fd.get()); };
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
    const bool stored = fetched == archive::Fetched::stored;
    ++(stored ? counters_.fetched : counters_.fetch_absent);
    if (stored)
        archive_.log.info("event=wal_fetched segment={} ms={}", name, ms_since(began));
    else
        archive_.log.debug("event=wal_absent segment={} ms={}", name, ms_since(began));
    co_return fetched;
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
            co_return;
        } catch (const Error& error) {
            failure = error;
        }
        if (failure->kind() == ErrorKind::cancelled) co_return;
        archive_.log.warn("event=storage_not_usable error=\"{}\" hint=\"{}\"", failure->what(), failure->hint());
        co_await sleep_for(probe_again);
    }
}

} // namespace walgd::daemon
