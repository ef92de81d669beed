#pragma once
#include "common/base/signal.hpp"
#include "common/storage/storage.hpp"
#include "tests/unit/async_support.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace walgd::test {

/// A storage made up by a test: objects in memory, every request noted, failures and delays where the test wants them.
class MemoryStorage : public storage::Storage {
public:
    explicit MemoryStorage(asio::any_io_executor io) : released_(io) {}

    std::map<std::string, std::string> objects;
    std::vector<std::string> requests; ///< "GET wal_005/x.zst", "LIST wal_005/x"
    std::set<std::string> unreachable; ///< keys whose get fails
    std::set<std::string> held;        ///< keys whose get waits for release()

    void release() {
        held.clear();
        released_.notify();
    }
    std::size_t count(std::string_view head) const {
        return static_cast<std::size_t>(
            std::ranges::count_if(requests, [head](const std::string& request) { return request.starts_with(head); }));
    }

    std::string describe() const override { return "memory"; }

    awaitable<std::unique_ptr<storage::ObjectReader>> get(storage::ObjectKey key, storage::ByteRange) override {
        requests.push_back("GET " + key.path());
        while (held.contains(key.path())) {
            co_await released_.wait();
        }
        if (unreachable.contains(key.path())) throw Error(ErrorKind::transient, key.path() + ": no answer");
        const auto found = objects.find(key.path());
        std::unique_ptr<storage::ObjectReader> reader;
        if (found != objects.end()) reader = std::make_unique<Reader>(key, found->second);
        co_return reader;
    }
    awaitable<storage::ListPage> list(std::string folder, storage::ListOptions options) override {
        requests.push_back("LIST " + folder + options.name_prefix);
        storage::ListPage page;
        for (const auto& [key, body] : objects) {
            storage::ObjectInfo info;
            info.key = storage::ObjectKey(key);
            if (key.starts_with(folder + options.name_prefix)) page.objects.push_back(info);
        }
        co_return page;
    }

    awaitable<storage::PutOutcome> put(storage::ObjectKey, ByteView, storage::PutOptions) override { throw not_here(); }
    awaitable<std::unique_ptr<storage::Upload>> start_upload(storage::ObjectKey, storage::PutOptions) override {
        throw not_here();
    }
    awaitable<std::optional<storage::ObjectInfo>> head(storage::ObjectKey) override { throw not_here(); }
    awaitable<std::vector<storage::RemoveFailure>> remove(std::vector<storage::ObjectKey>) override { throw not_here(); }
    awaitable<std::size_t> remove_stale_uploads(std::string, std::chrono::seconds) override { throw not_here(); }

private:
    static Error not_here() { return Error(ErrorKind::failed, "this test's storage is only read"); }

    class Reader : public storage::ObjectReader {
    public:
        Reader(storage::ObjectKey key, std::string body) : body_(std::move(body)) {
            info_.key = std::move(key);
            info_.bytes = body_.size();
        }
        const storage::ObjectInfo& info() const override { return info_; }
        awaitable<std::size_t> read(MutableBytes into) override {
            const auto count = std::min(into.size(), body_.size() - at_);
            std::copy_n(bytes_of(body_).begin() + static_cast<std::ptrdiff_t>(at_), count, into.begin());
            at_ += count;
            co_return count;
        }

    private:
        storage::ObjectInfo info_;
        std::string body_;
        std::size_t at_ = 0;
    };
    Signal released_;
};

} // namespace walgd::test
