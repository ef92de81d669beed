#pragma once
#include "common/storage/storage.hpp"

#include <algorithm>

namespace walgd::test {

/// Another storage's answers, counted; its listings cut into small pages.
class CountingStorage : public storage::Storage {
public:
    explicit CountingStorage(Storage& inner) : inner_(inner) {}
    int calls = 0, lists = 0, heads = 0;
    std::size_t page_objects = 1000;
    bool keeps_all = false;        ///< nothing is removed, as from a bucket whose objects are locked
    bool refuses_removing = false; ///< the whole request, as to those who may only write
    std::string keeps_back;        ///< the key of an object that is not handed out, as of an archive class

    std::string describe() const override { return inner_.describe(); }
    awaitable<storage::PutOutcome> put(storage::ObjectKey key, ByteView body, storage::PutOptions options) override {
        ++calls;
        return inner_.put(key, body, options);
    }
    awaitable<std::unique_ptr<storage::Upload>> start_upload(storage::ObjectKey key, storage::PutOptions options) override {
        ++calls;
        return inner_.start_upload(key, options);
    }
    awaitable<storage::CopyOutcome> copy(storage::ObjectKey from, storage::ObjectKey to) override {
        ++calls;
        return inner_.copy(std::move(from), std::move(to));
    }
    awaitable<std::optional<storage::ObjectInfo>> head(storage::ObjectKey key) override {
        ++calls;
        ++heads;
        return inner_.head(key);
    }
    awaitable<std::unique_ptr<storage::ObjectReader>> get(storage::ObjectKey key, storage::ByteRange range) override {
        ++calls;
        if (key.path() == keeps_back) throw Error(ErrorKind::refused, "InvalidObjectState");
        return inner_.get(key, range);
    }
    awaitable<storage::ListPage> list(std::string folder, storage::ListOptions options) override {
        ++calls;
        ++lists;
        const auto begin = options.token ? std::stoul(*options.token) : 0;
        options.token.reset();
        auto page = co_await inner_.list(folder, options);
        const auto end = std::min(page.objects.size(), begin + page_objects);
        if (end < page.objects.size()) page.next = std::to_string(end);
        page.objects = {page.objects.begin() + static_cast<std::ptrdiff_t>(std::min(begin, end)),
                        page.objects.begin() + static_cast<std::ptrdiff_t>(end)};
        co_return page;
    }
    awaitable<std::vector<storage::RemoveFailure>> remove(std::vector<storage::ObjectKey> keys) override {
        ++calls;
        if (refuses_removing) throw Error(ErrorKind::denied, "AccessDenied");
        std::vector<storage::RemoveFailure> failures;
        for (const auto& key : keys) {
            if (keeps_all) failures.push_back({key, Error(ErrorKind::denied, "it is locked")});
        }
        if (failures.empty()) {
            failures = co_await inner_.remove(std::move(keys));
        }
        co_return failures;
    }
    awaitable<std::size_t> remove_stale_uploads(std::string folder, std::chrono::seconds age) override {
        ++calls;
        return inner_.remove_stale_uploads(folder, age);
    }

private:
    Storage& inner_;
};

} // namespace walgd::test
