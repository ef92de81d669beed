#include "common/storage/health/watched_storage.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::storage {

namespace {

/// What a decorator's parts share.
struct Watch {
    Storage& inner;
    StorageHealth& health;
    RequestMeter& meter;
    std::chrono::milliseconds patience;
};

/// Speaks up when it lives for too long.
class Patience {
public:
    Patience(Watch& watch, asio::any_io_executor io, std::string what)
        : what_(std::make_shared<std::string>(std::move(what))), timer_(std::move(io), watch.patience) {
        // A timer that has expired already cannot be cancelled: then `still` tells that the wait is over.
        timer_.async_wait([&watch, still = std::weak_ptr(what_)](const boost::system::error_code& error) {
            const auto waiting = error ? nullptr : still.lock();
            if (!waiting) return;
            const auto now = std::chrono::system_clock::now();
            const auto seconds = std::chrono::duration<double>(watch.patience).count();
            watch.health.overdue(fmt::format("{}: no answer for {:.3g} s", *waiting, seconds), now);
        });
    }

private:
    std::shared_ptr<std::string> what_;
    Timer timer_;
};

/// A request on its way.
struct Asked {
    std::string_view verb;
    std::uint64_t number;
    std::chrono::steady_clock::time_point began;
};

/// A request that ended well.
void note_answer(Watch& watch, const Asked& asked) {
    watch.health.answered(asked.number, std::chrono::system_clock::now());
    watch.meter.answered(asked.verb, std::chrono::steady_clock::now() - asked.began);
}

/// More of an answer that has begun: watched as a request is, and none.
constexpr std::string_view reading = "read";

/// `verb` is a literal; `what` is it done to.
template <class Result> awaitable<Result> watched(Watch& watch, std::string_view verb, std::string what, awaitable<Result> call) {
    const Asked asked{verb, watch.health.asked(), std::chrono::steady_clock::now()};
    if (verb != reading) watch.meter.asked(verb);
    std::optional<Error> failure;
    {
        const auto io = co_await asio::this_coro::executor;
        const Patience patience(watch, io, fmt::format("{} {}", verb, what));
        try {
            if constexpr (std::is_void_v<Result>) {
                co_await std::move(call);
                note_answer(watch, asked);
                co_return;
            } else {
                auto result = co_await std::move(call);
                note_answer(watch, asked);
                co_return result;
            }
        } catch (const Error& error) {
            failure = error;
        }
    }
    watch.health.failed(asked.number, *failure, std::chrono::system_clock::now());
    watch.meter.failed(verb, failure->kind());
    throw *failure;
}

class WatchedReader : public ObjectReader {
public:
    WatchedReader(Watch& watch, std::unique_ptr<ObjectReader> inner) : watch_(watch), inner_(std::move(inner)) {}

    const ObjectInfo& info() const override { return inner_->info(); }
    awaitable<std::size_t> read(MutableBytes into) override {
        return watched(watch_, reading, info().key.path(), inner_->read(into));
    }
    void take_over(ObjectReader& broken) override {
        if (const auto* other = dynamic_cast<WatchedReader*>(&broken)) inner_->take_over(*other->inner_);
    }

private:
    Watch& watch_;
    std::unique_ptr<ObjectReader> inner_;
};

class WatchedUpload : public Upload {
public:
    WatchedUpload(Watch& watch, std::unique_ptr<Upload> inner, ObjectKey key)
        : watch_(watch), inner_(std::move(inner)), key_(std::move(key)) {}

    awaitable<void> put_piece(int number, std::uint64_t offset, ByteView bytes) override {
        return watched(watch_, "put piece", fmt::format("{} of {}", number, key_.path()),
                       inner_->put_piece(number, offset, bytes));
    }
    awaitable<PutOutcome> complete() override { return watched(watch_, "complete upload", key_.path(), inner_->complete()); }
    awaitable<void> abort() override { return watched(watch_, "abort upload", key_.path(), inner_->abort()); }

private:
    Watch& watch_;
    std::unique_ptr<Upload> inner_;
    ObjectKey key_;
};

class WatchedStorage : public Storage {
public:
    explicit WatchedStorage(Watch watch) : watch_(watch) {}

    std::string describe() const override { return watch_.inner.describe(); }

    awaitable<PutOutcome> put(ObjectKey key, ByteView body, PutOptions options) override {
        return watched(watch_, "put", key.path(), watch_.inner.put(key, body, std::move(options)));
    }
    awaitable<std::unique_ptr<Upload>> start_upload(ObjectKey key, PutOptions options) override {
        auto call = watch_.inner.start_upload(key, std::move(options));
        auto upload = co_await watched(watch_, "start upload", key.path(), std::move(call));
        std::unique_ptr<Upload> result = std::make_unique<WatchedUpload>(watch_, std::move(upload), std::move(key));
        co_return result;
    }
    awaitable<CopyOutcome> copy(ObjectKey from, ObjectKey to) override {
        return watched(watch_, "copy", to.path(), watch_.inner.copy(std::move(from), to));
    }
    awaitable<std::optional<ObjectInfo>> head(ObjectKey key) override {
        return watched(watch_, "head", key.path(), watch_.inner.head(key));
    }
    awaitable<std::unique_ptr<ObjectReader>> get(ObjectKey key, ByteRange range) override {
        auto call = watch_.inner.get(key, range);
        auto reader = co_await watched(watch_, "get", key.path(), std::move(call));
        std::unique_ptr<ObjectReader> result;
        if (reader) result = std::make_unique<WatchedReader>(watch_, std::move(reader));
        co_return result;
    }
    awaitable<ListPage> list(std::string folder, ListOptions options) override {
        return watched(watch_, "list", folder, watch_.inner.list(folder, std::move(options)));
    }
    awaitable<std::vector<RemoveFailure>> remove(std::vector<ObjectKey> keys) override {
        auto what = fmt::format("{} objects", keys.size());
        return watched(watch_, "remove", std::move(what), watch_.inner.remove(std::move(keys)));
    }
    awaitable<std::size_t> remove_stale_uploads(std::string folder, std::chrono::seconds age) override {
        return watched(watch_, "list uploads", folder, watch_.inner.remove_stale_uploads(folder, age));
    }
    std::vector<Expiry> expiries() const override { return watch_.inner.expiries(); }
    awaitable<RemovedObjects> removed_objects() override {
        return watched(watch_, "ask for versions", watch_.inner.describe(), watch_.inner.removed_objects());
    }
    // Of several, each is watched by itself.
    Storage& answering() override { return &watch_.inner.answering() == &watch_.inner ? *this : watch_.inner.answering(); }
    awaitable<Storage*> home() override {
        auto* const home = co_await watch_.inner.home();
        co_return home == &watch_.inner ? this : home;
    }
    std::vector<Storage*> each() override {
        auto each = watch_.inner.each();
        std::ranges::replace(each, &watch_.inner, static_cast<Storage*>(this));
        return each;
    }

private:
    Watch watch_;
};

} // namespace

std::unique_ptr<Storage> make_watched_storage(Storage& inner, StorageHealth& health, RequestMeter& meter,
                                              std::chrono::milliseconds patience) {
    return std::make_unique<WatchedStorage>(Watch{inner, health, meter, patience});
}

} // namespace walgd::storage
