#include "common/storage/limit/limited_storage.hpp"

#include <utility>

namespace walgd::storage {

namespace {

awaitable<void> pass(RateLimit& rate, std::uint64_t bytes) {
    const auto wait = rate.take(bytes);
    if (wait.count() == 0) co_return;
    co_await sleep_for(wait);
}

class LimitedReader : public ObjectReader {
public:
    LimitedReader(RateLimit& rate, std::unique_ptr<ObjectReader> inner) : rate_(rate), inner_(std::move(inner)) {}

    const ObjectInfo& info() const override { return inner_->info(); }
    awaitable<std::size_t> read(MutableBytes into) override {
        const auto count = co_await inner_->read(into);
        co_await pass(rate_, count);
        co_return count;
    }
    void take_over(ObjectReader& broken) override {
        if (const auto* other = dynamic_cast<LimitedReader*>(&broken)) inner_->take_over(*other->inner_);
    }

private:
    RateLimit& rate_;
    std::unique_ptr<ObjectReader> inner_;
};

class LimitedUpload : public Upload {
public:
    LimitedUpload(RateLimit& rate, std::unique_ptr<Upload> inner) : rate_(rate), inner_(std::move(inner)) {}

    awaitable<void> put_piece(int number, std::uint64_t offset, ByteView bytes) override {
        co_await pass(rate_, bytes.size());
        co_await inner_->put_piece(number, offset, bytes);
    }
    awaitable<PutOutcome> complete() override { return inner_->complete(); }
    awaitable<void> abort() override { return inner_->abort(); }

private:
    RateLimit& rate_;
    std::unique_ptr<Upload> inner_;
};

class LimitedStorage : public Storage {
public:
    LimitedStorage(Storage& inner, RateOf rate_of) : inner_(inner), rate_of_(std::move(rate_of)) {}

    std::string describe() const override { return inner_.describe(); }

    awaitable<PutOutcome> put(ObjectKey key, ByteView body, PutOptions options) override {
        co_await pass(rate_of_(key), body.size());
        const auto outcome = co_await inner_.put(std::move(key), body, std::move(options));
        co_return outcome;
    }
    awaitable<std::unique_ptr<Upload>> start_upload(ObjectKey key, PutOptions options) override {
        auto& rate = rate_of_(key);
        auto upload = co_await inner_.start_upload(std::move(key), std::move(options));
        std::unique_ptr<Upload> result = std::make_unique<LimitedUpload>(rate, std::move(upload));
        co_return result;
    }
    awaitable<CopyOutcome> copy(ObjectKey from, ObjectKey to) override { return inner_.copy(std::move(from), std::move(to)); }
    awaitable<std::unique_ptr<ObjectReader>> get(ObjectKey key, ByteRange range) override {
        auto& rate = rate_of_(key);
        auto reader = co_await inner_.get(std::move(key), range);
        std::unique_ptr<ObjectReader> result;
        if (reader) result = std::make_unique<LimitedReader>(rate, std::move(reader));
        co_return result;
    }
    awaitable<std::optional<ObjectInfo>> head(ObjectKey key) override { return inner_.head(std::move(key)); }
    awaitable<ListPage> list(std::string folder, ListOptions options) override {
        return inner_.list(std::move(folder), std::move(options));
    }
    awaitable<std::vector<RemoveFailure>> remove(std::vector<ObjectKey> keys) override { return inner_.remove(std::move(keys)); }
    awaitable<std::size_t> remove_stale_uploads(std::string folder, std::chrono::seconds age) override {
        return inner_.remove_stale_uploads(std::move(folder), age);
    }
    std::vector<Expiry> expiries() const override { return inner_.expiries(); }
    awaitable<RemovedObjects> removed_objects() override { return inner_.removed_objects(); }

private:
    Storage& inner_;
    RateOf rate_of_;
};

} // namespace

std::unique_ptr<Storage> make_limited_storage(Storage& inner, RateOf rate_of) {
    return std::make_unique<LimitedStorage>(inner, std::move(rate_of));
}

} // namespace walgd::storage
