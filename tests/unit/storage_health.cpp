#include "common/storage/health/storage_health.hpp"
#include "common/storage/health/watched_storage.hpp"
#include "tests/unit/file_backend.hpp"

namespace walgd::storage {

namespace {

using State = StorageHealth::State;
using Time = StorageHealth::Time;

const Error lost_link(ErrorKind::transient, "connection reset", "is the storage reachable?");
const Error not_allowed(ErrorKind::denied, "AccessDenied");

Time at(int seconds) { return Time(std::chrono::seconds(seconds)); }

/// A storage whose puts wait for a signal, and then fail or do not.
class Waiting : public Storage {
public:
    Waiting(asio::any_io_executor io, Storage& inner) : released(std::move(io), Timer::time_point::max()), inner_(inner) {}
    Timer released; ///< cancelled: go on
    std::optional<Error> failure;

    std::string describe() const override { return inner_.describe(); }
    awaitable<PutOutcome> put(ObjectKey, ByteView, PutOptions) override {
        co_await released.async_wait(asio::as_tuple(asio::use_awaitable));
        if (failure) throw *failure;
        co_return PutOutcome::stored;
    }
    awaitable<std::unique_ptr<Upload>> start_upload(ObjectKey key, PutOptions options) override {
        return inner_.start_upload(key, options);
    }
    awaitable<std::optional<ObjectInfo>> head(ObjectKey key) override { return inner_.head(key); }
    awaitable<std::unique_ptr<ObjectReader>> get(ObjectKey key, ByteRange range) override { return inner_.get(key, range); }
    awaitable<ListPage> list(std::string folder, ListOptions options) override { return inner_.list(folder, options); }
    awaitable<std::vector<RemoveFailure>> remove(std::vector<ObjectKey> keys) override { return inner_.remove(keys); }
    awaitable<std::size_t> remove_stale_uploads(std::string folder, std::chrono::seconds age) override {
        return inner_.remove_stale_uploads(folder, age);
    }

private:
    Storage& inner_;
};

struct HealthFixture {
    test::FileBackend backend;
    Waiting waiting{backend.loop.executor(), backend.storage()};
    StorageHealth health;
    RequestMeter meter;
    std::unique_ptr<Storage> watched = make_watched_storage(waiting, health, meter, std::chrono::milliseconds(1));
    std::vector<State> turns;

    HealthFixture() {
        health.on_turn([this](const auto&, const auto& now) {
            turns.push_back(now.state);
            if (now.state == State::slow) waiting.released.cancel();
        });
    }
    void put() { backend.loop.run(watched->put(ObjectKey("k"), bytes_of(std::string("x")), {})); }
};

} // namespace

TEST_CASE("a storage's state is what its last request found", "[storage]") {
    StorageHealth health;
    CHECK(health.report().state == State::unknown);
    health.answered(health.asked(), at(1));
    health.answered(health.asked(), at(2));
    CHECK(health.report().state == State::answering);
    CHECK(health.report().since == at(1));
    health.failed(health.asked(), lost_link, at(3));
    health.failed(health.asked(), not_allowed, at(4));
    CHECK(health.report().state == State::failing);
    CHECK(health.report().since == at(3));
    CHECK(health.report().row == 2);
    CHECK(health.report().trouble == "AccessDenied");
    CHECK(health.report().hint.empty());
    health.answered(health.asked(), at(5));
    CHECK(health.report().state == State::answering);
    CHECK(health.report().row == 0);
    CHECK(health.report().trouble_at == at(4));
}

TEST_CASE("what was asked before a failure and is answered behind it does not end the failing", "[storage]") {
    StorageHealth health;
    const auto listing = health.asked();
    health.failed(health.asked(), not_allowed, at(1));
    health.answered(listing, at(2));
    CHECK(health.report().state == State::failing);
    health.answered(health.asked(), at(3));
    CHECK(health.report().state == State::answering);
}

TEST_CASE("an object's trouble is not the storage's, and giving up is not a failure", "[storage]") {
    StorageHealth health;
    health.failed(health.asked(), lost_link, at(1));
    health.failed(health.asked(), Error(ErrorKind::cancelled, "cancelled"), at(2));
    CHECK(health.report().state == State::failing);
    CHECK(health.report().trouble == "connection reset");
    health.failed(health.asked(), Error(ErrorKind::corrupt, "its SHA-256 is another"), at(3));
    CHECK(health.report().state == State::answering);
    CHECK(health.report().trouble == "its SHA-256 is another");
}

TEST_CASE("slow is told once, and failing counts from where slow began", "[storage]") {
    StorageHealth health;
    std::vector<std::pair<State, State>> turns;
    health.on_turn([&](const auto& before, const auto& now) { turns.emplace_back(before.state, now.state); });
    health.answered(health.asked(), at(1));
    health.overdue("put a: no answer for 3 s", at(5));
    health.overdue("put b: no answer for 3 s", at(6));
    CHECK(health.report().trouble == "put a: no answer for 3 s");
    health.failed(health.asked(), lost_link, at(9));
    health.overdue("put c: no answer for 3 s", at(12));
    CHECK(health.report().state == State::failing);
    CHECK(health.report().since == at(5));
    const std::vector<std::pair<State, State>> expected{
        {State::unknown, State::answering}, {State::answering, State::slow}, {State::slow, State::failing}};
    CHECK(turns == expected);
}

TEST_CASE("a request that waits for too long is told while it waits, and its end as well", "[storage]") {
    HealthFixture fixture;
    fixture.put();
    CHECK(fixture.turns == std::vector{State::slow, State::answering});
    CHECK(fixture.health.report().trouble == "put k: no answer for 0.001 s");
    HealthFixture failing;
    failing.waiting.failure = lost_link;
    CHECK(test::kind_of([&] { failing.put(); }) == ErrorKind::transient);
    CHECK(failing.turns == std::vector{State::slow, State::failing});
    CHECK(failing.health.report().hint == lost_link.hint());
}

TEST_CASE("what a watched storage answers goes through unchanged, and counts as an answer", "[storage]") {
    HealthFixture fixture;
    CHECK_FALSE(fixture.backend.loop.run(fixture.watched->head(ObjectKey("none"))).has_value());
    CHECK(fixture.backend.loop.run(fixture.watched->get(ObjectKey("none"), {})) == nullptr);
    CHECK(fixture.health.report().state == State::answering);
}

} // namespace walgd::storage
