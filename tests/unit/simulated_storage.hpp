#pragma once
#include "common/storage/storage.hpp"

#include <list>
#include <map>
#include <random>

namespace walgd::test {

/// A storage in memory whose every request waits until the test lets one end, in whatever order and in whatever way.
class SimulatedStorage : public storage::Storage {
public:
    /// How a request ends.
    enum class End {
        answered,
        failed, ///< nothing was done, and the client is told that there was no answer
        lost,   ///< it was done, and the client is told that there was no answer
        denied,
    };
    SimulatedStorage(asio::any_io_executor io, std::mt19937& dice, bool conditional)
        : io_(io), dice_(dice), conditional_(conditional) {}

    std::size_t waiting() const { return gates_.size(); }
    /// Ends one of the requests that wait, by chance.
    void end_one(End how) {
        auto gate = gates_.begin();
        std::advance(gate, std::uniform_int_distribution<std::size_t>(0, gates_.size() - 1)(dice_));
        gate->how = how;
        gate->timer.expires_at(Clock::time_point::min());
        passed_.splice(passed_.end(), gates_, gate);
    }
    /// What another writer does.
    void plant(const std::string& key, std::string content) { objects_[key] = std::move(content); }
    const std::map<std::string, std::string>& objects() const { return objects_; }
    std::size_t replaced() const { return replaced_; } ///< objects whose content was changed by a put

    std::string describe() const override { return "memory"; }
    awaitable<storage::PutOutcome> put(storage::ObjectKey key, ByteView body, storage::PutOptions options) override {
        // The bytes on the wire are those of now: what becomes of the buffer later is nobody's business.
        const std::string content(text_of(body));
        auto outcome = storage::PutOutcome::stored;
        auto act = [&] {
            const auto there = objects_.find(key.path());
            if (there != objects_.end() && options.if_absent && conditional_) {
                outcome = storage::PutOutcome::exists;
                return;
            }
            if (there != objects_.end() && there->second != content && key.path().starts_with("wal_005/")) ++replaced_;
            objects_[key.path()] = content;
        };
        co_await pass(act);
        co_return outcome;
    }
    awaitable<std::unique_ptr<storage::Upload>> start_upload(storage::ObjectKey, storage::PutOptions) override {
        throw Error(ErrorKind::failed, "the model has no large files");
    }
    awaitable<std::optional<storage::ObjectInfo>> head(storage::ObjectKey key) override {
        std::optional<storage::ObjectInfo> info;
        auto act = [&] { info = info_of(key); };
        co_await pass(act);
        co_return info;
    }
    awaitable<std::unique_ptr<storage::ObjectReader>> get(storage::ObjectKey key, storage::ByteRange range) override;
    awaitable<storage::ListPage> list(std::string folder, storage::ListOptions) override {
        storage::ListPage page;
        auto act = [&] {
            for (const auto& [path, content] : objects_) {
                if (path.starts_with(folder)) page.objects.push_back(*info_of(storage::ObjectKey(path)));
            }
        };
        co_await pass(act);
        co_return page;
    }
    awaitable<std::vector<storage::RemoveFailure>> remove(std::vector<storage::ObjectKey> keys) override {
        auto act = [&] {
            for (const auto& key : keys) objects_.erase(key.path());
        };
        co_await pass(act);
        co_return std::vector<storage::RemoveFailure>{};
    }
    awaitable<std::size_t> remove_stale_uploads(std::string, std::chrono::seconds) override { co_return 0; }

private:
    struct Gate {
        explicit Gate(asio::any_io_executor io) : timer(io, Clock::time_point::max()) {}
        Timer timer;
        End how = End::answered;
    };

    template <class Act> awaitable<void> pass(Act& act) {
        const auto gate = gates_.emplace(gates_.end(), io_);
        co_await gate->timer.async_wait(asio::as_tuple(asio::use_awaitable));
        const bool ended = gate->timer.expiry() == Clock::time_point::min();
        const auto how = gate->how;
        (ended ? passed_ : gates_).erase(gate);
        // A client that leaves does not know what its request still did.
        const bool acts = ended ? how == End::answered || how == End::lost : std::bernoulli_distribution(0.5)(dice_);
        if (acts) act();
        if (!ended) throw Error(ErrorKind::cancelled, "cancelled");
        if (how == End::denied) throw Error(ErrorKind::denied, "HTTP 403");
        if (how != End::answered) throw Error(ErrorKind::transient, "no answer");
    }
    std::optional<storage::ObjectInfo> info_of(const storage::ObjectKey& key) const {
        const auto found = objects_.find(key.path());
        if (found == objects_.end()) return std::nullopt;
        storage::ObjectInfo info;
        info.key = key;
        info.bytes = found->second.size();
        info.etag = std::to_string(std::hash<std::string>()(found->second));
        return info;
    }

    asio::any_io_executor io_;
    std::mt19937& dice_;
    bool conditional_;
    std::list<Gate> gates_, passed_;
    std::map<std::string, std::string> objects_;
    std::size_t replaced_ = 0;
};

class SimulatedReader : public storage::ObjectReader {
public:
    SimulatedReader(storage::ObjectInfo info, std::string content) : info_(std::move(info)), content_(std::move(content)) {}
    const storage::ObjectInfo& info() const override { return info_; }
    awaitable<std::size_t> read(MutableBytes into) override {
        const auto count = std::min(into.size(), content_.size() - at_);
        std::copy_n(bytes_of(content_).begin() + static_cast<std::ptrdiff_t>(at_), count, into.begin());
        at_ += count;
        co_return count;
    }

private:
    storage::ObjectInfo info_;
    std::string content_;
    std::size_t at_ = 0;
};

inline awaitable<std::unique_ptr<storage::ObjectReader>> SimulatedStorage::get(storage::ObjectKey key, storage::ByteRange range) {
    std::unique_ptr<storage::ObjectReader> reader;
    auto act = [&] {
        auto info = info_of(key);
        if (info) reader = std::make_unique<SimulatedReader>(std::move(*info), objects_.at(key.path()).substr(range.offset));
    };
    co_await pass(act);
    co_return reader;
}

} // namespace walgd::test
