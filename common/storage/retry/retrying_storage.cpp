#include "common/storage/retry/retrying_storage.hpp"
#include "common/base/in_quotes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <limits>
#include <random>

namespace walgd::storage {

RetryEnvironment real_retry_environment() {
    auto dice = std::make_shared<std::mt19937_64>(std::random_device{}());
    RetryEnvironment environment;
    environment.sleep = [](std::chrono::milliseconds duration) { return sleep_for(duration); };
    environment.now = [] { return std::chrono::steady_clock::now(); };
    environment.random = [dice] { return std::uniform_real_distribution<double>()(*dice); };
    return environment;
}

namespace {

constexpr std::size_t compared_bytes = 256 << 10;

/// The attempts of one call.
class Attempts {
public:
    Attempts(const RetryPolicy& policy, const RetryEnvironment& environment, Log& log)
        : policy_(policy), environment_(environment), log_(log), began_(environment.now()) {}

    /// How long to wait before the next one; throws what failed when there is none.
    std::chrono::milliseconds after(const Error& error, std::string_view what) {
        if (error.kind() != ErrorKind::transient) throw error;
        ++made_;
        const auto ceiling =
            std::min<double>(static_cast<double>(policy_.delay_max.count()),
                             static_cast<double>(policy_.delay_min.count()) * std::pow(2, std::min(made_ - 1, 20)));
        const std::chrono::milliseconds delay(static_cast<std::int64_t>(ceiling * environment_.random()));
        const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(environment_.now() - began_);
        if (made_ >= policy_.attempts_max || spent + delay > policy_.deadline)
            throw Error(ErrorKind::transient,
                        fmt::format("{} (given up after {} attempts in {} ms)", error.what(), made_, spent.count()),
                        error.hint().empty() ? "is the storage reachable? walgd --check tells more" : error.hint());
        log_.warn("event=retry what={} attempt={} wait_ms={} error={}", in_quotes(what), made_, delay.count(),
                  in_quotes(error.what()));
        return delay;
    }

    /// The same; nothing when there is none.
    std::optional<std::chrono::milliseconds> before_giving_up(const Error& error, std::string_view what) {
        try {
            return after(error, what);
        } catch (const Error&) {
            return std::nullopt;
        }
    }

    awaitable<void> wait(std::chrono::milliseconds delay) { return environment_.sleep(delay); }

private:
    const RetryPolicy& policy_;
    const RetryEnvironment& environment_;
    Log& log_;
    std::chrono::steady_clock::time_point began_;
    int made_ = 0;
};

/// What a decorator's parts share.
struct Shared {
    Storage& inner;
    RetryPolicy policy;
    RetryEnvironment environment;
    Log& log;
};

/// Runs `call` until it succeeds, fails for good, or the attempts are used up.
template <class Result, class Call> awaitable<Result> repeat(Shared& shared, std::string what, Call call) {
    Attempts attempts(shared.policy, shared.environment, shared.log);
    for (;;) {
        std::optional<Error> failure;
        try {
            if constexpr (std::is_void_v<Result>) {
                co_await call();
                co_return;
            } else {
                auto result = co_await call();
                co_return result;
            }
        } catch (const Error& error) {
            failure = error;
        }
        const auto delay = attempts.after(*failure, what);
        co_await attempts.wait(delay);
    }
}

/// Goes on where a broken read stopped, as long as the object is the same.
class ResumingReader : public ObjectReader {
public:
    ResumingReader(Shared& shared, std::unique_ptr<ObjectReader> reader, ByteRange range)
        : shared_(shared), reader_(std::move(reader)), info_(reader_->info()), offset_(range.offset) {
        if (range.length) end_ = range.offset + *range.length;
        if (info_.bytes > 0) end_ = std::min(end_, info_.bytes);
    }

    const ObjectInfo& info() const override { return info_; }

    awaitable<std::size_t> read(MutableBytes into) override {
        if (offset_ >= end_ && reader_ == nullptr) co_return 0;
        auto call = [this, into] { return read_once(into); };
        const auto count = co_await repeat<std::size_t>(shared_, "get " + info_.key.path(), call);
        offset_ += count;
        co_return count;
    }

private:
    awaitable<std::size_t> read_once(MutableBytes into) {
        if (!reader_) {
            co_await reopen();
        }
        std::optional<Error> failure;
        try {
            const auto count = co_await reader_->read(into);
            co_return count;
        } catch (const Error& error) {
            failure = error;
        }
        broken_ = std::move(reader_);
        throw *failure;
    }

    awaitable<void> reopen() {
        ByteRange rest;
        rest.offset = offset_;
        if (end_ != not_announced) rest.length = end_ - offset_;
        auto reader = co_await shared_.inner.get(info_.key, rest);
        const bool same_size = reader && (reader->info().bytes == info_.bytes || info_.bytes == 0);
        if (!same_size || reader->info().etag != info_.etag)
            throw Error(ErrorKind::corrupt,
                        fmt::format("{} in {} changed while it was read", info_.key.path(), shared_.inner.describe()),
                        "is something else writing into the archive?");
        reader->take_over(*broken_);
        broken_.reset();
        reader_ = std::move(reader);
    }

    Shared& shared_;
    std::unique_ptr<ObjectReader> reader_, broken_; ///< broken_: kept for its checksum, until one goes on where it stopped
    ObjectInfo info_;
    /// Who sends piece by piece, as some do that stand between us and a storage, tells no size.
    static constexpr auto not_announced = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t offset_, end_ = not_announced;
};

class RetryingUpload : public Upload {
public:
    RetryingUpload(Shared& shared, std::unique_ptr<Upload> inner, ObjectKey key)
        : shared_(shared), inner_(std::move(inner)), key_(std::move(key)) {}

    awaitable<void> put_piece(int number, std::uint64_t offset, ByteView bytes) override {
        auto call = [this, number, offset, bytes] { return inner_->put_piece(number, offset, bytes); };
        co_await repeat<void>(shared_, fmt::format("put piece {} of {}", number, key_.path()), call);
    }
    awaitable<PutOutcome> complete() override {
        auto call = [this] { return inner_->complete(); };
        const auto outcome = co_await repeat<PutOutcome>(shared_, "complete " + key_.path(), call);
        co_return outcome;
    }
    awaitable<void> abort() override {
        auto call = [this] { return inner_->abort(); };
        co_await repeat<void>(shared_, "abort " + key_.path(), call);
    }

private:
    Shared& shared_;
    std::unique_ptr<Upload> inner_;
    ObjectKey key_;
};

class RetryingStorage : public Storage {
public:
    explicit RetryingStorage(Shared shared) : shared_(std::move(shared)) {}

    std::string describe() const override { return shared_.inner.describe(); }

    awaitable<PutOutcome> put(ObjectKey key, ByteView body, PutOptions options) override {
        int tries = 0;
        auto call = [this, key, body, options, &tries] {
            ++tries;
            return shared_.inner.put(key, body, options);
        };
        const auto outcome = co_await repeat<PutOutcome>(shared_, "put " + key.path(), call);
        if (outcome == PutOutcome::stored || tries == 1) co_return outcome;
        const bool ours = co_await holds(key, body);
        co_return ours ? PutOutcome::stored : PutOutcome::exists;
    }
    awaitable<std::unique_ptr<Upload>> start_upload(ObjectKey key, PutOptions options) override {
        auto call = [this, key, options] { return shared_.inner.start_upload(key, options); };
        auto upload = co_await repeat<std::unique_ptr<Upload>>(shared_, "start upload of " + key.path(), call);
        std::unique_ptr<Upload> retrying = std::make_unique<RetryingUpload>(shared_, std::move(upload), key);
        co_return retrying;
    }
    awaitable<CopyOutcome> copy(ObjectKey from, ObjectKey to) override {
        auto call = [this, from, to] { return shared_.inner.copy(from, to); };
        const auto outcome = co_await repeat<CopyOutcome>(shared_, "copy to " + to.path(), call);
        co_return outcome;
    }
    awaitable<std::optional<ObjectInfo>> head(ObjectKey key) override {
        auto call = [this, key] { return shared_.inner.head(key); };
        const auto info = co_await repeat<std::optional<ObjectInfo>>(shared_, "head " + key.path(), call);
        co_return info;
    }
    awaitable<std::unique_ptr<ObjectReader>> get(ObjectKey key, ByteRange range) override {
        auto call = [this, key, range] { return shared_.inner.get(key, range); };
        auto reader = co_await repeat<std::unique_ptr<ObjectReader>>(shared_, "get " + key.path(), call);
        std::unique_ptr<ObjectReader> resuming;
        if (reader) resuming = std::make_unique<ResumingReader>(shared_, std::move(reader), range);
        co_return resuming;
    }
    awaitable<ListPage> list(std::string folder, ListOptions options) override {
        auto call = [this, folder, options] { return shared_.inner.list(folder, options); };
        auto page = co_await repeat<ListPage>(shared_, "list " + folder, call);
        co_return page;
    }
    awaitable<std::vector<RemoveFailure>> remove(std::vector<ObjectKey> keys) override {
        std::vector<RemoveFailure> lasting;
        Attempts attempts(shared_.policy, shared_.environment, shared_.log);
        for (;;) {
            const auto what = fmt::format("remove {} objects", keys.size());
            auto call = [this, keys] { return shared_.inner.remove(keys); };
            auto failures = co_await repeat<std::vector<RemoveFailure>>(shared_, what, call);
            // The storage may ask to wait for some of them alone.
            const auto again = std::ranges::partition(
                failures, [](const RemoveFailure& failure) { return failure.error.kind() != ErrorKind::transient; });
            std::optional<std::chrono::milliseconds> delay;
            if (!again.empty()) delay = attempts.before_giving_up(again.front().error, what);
            lasting.insert(lasting.end(), failures.begin(), delay ? again.begin() : failures.end());
            if (!delay) co_return lasting;
            keys.clear();
            for (const auto& failure : again) keys.push_back(failure.key);
            co_await attempts.wait(*delay);
        }
    }
    awaitable<std::size_t> remove_stale_uploads(std::string folder, std::chrono::seconds age) override {
        auto call = [this, folder, age] { return shared_.inner.remove_stale_uploads(folder, age); };
        const auto count = co_await repeat<std::size_t>(shared_, "remove stale uploads", call);
        co_return count;
    }
    std::vector<Expiry> expiries() const override { return shared_.inner.expiries(); }

    awaitable<RemovedObjects> removed_objects() override {
        auto call = [this] { return shared_.inner.removed_objects(); };
        auto answer = co_await repeat<RemovedObjects>(shared_, "ask for the versions of " + describe(), call);
        co_return answer;
    }

private:
    /// Whether the object is these bytes.
    awaitable<bool> holds(ObjectKey key, ByteView body) {
        const auto reader = co_await get(key, {});
        const bool other_size = reader && reader->info().bytes > 0 && reader->info().bytes != body.size();
        if (!reader || other_size) co_return false;
        Blob chunk(compared_bytes);
        for (;;) {
            const auto count = co_await reader->read({chunk.data(), chunk.capacity()});
            if (count == 0) co_return body.empty();
            if (count > body.size() || std::memcmp(chunk.data(), body.data(), count) != 0) co_return false;
            body = body.subspan(count);
        }
    }

    Shared shared_;
};

} // namespace

std::unique_ptr<Storage> make_retrying_storage(Storage& inner, RetryPolicy policy, RetryEnvironment environment, Log& log) {
    return std::make_unique<RetryingStorage>(Shared{inner, policy, std::move(environment), log});
}

} // namespace walgd::storage
