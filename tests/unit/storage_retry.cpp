#include "common/storage/retry/retrying_storage.hpp"
#include "tests/unit/file_backend.hpp"

#include <deque>

namespace walgd::storage {

using test::kind_of;

namespace {

/// A storage that fails when told: the next calls meet these errors, in order; `nullopt` lets a call through.
class Failing : public Storage {
public:
    explicit Failing(Storage& inner) : inner_(inner) {}
    std::deque<std::optional<Error>> script;
    int calls = 0;
    int taken_over = 0;                            ///< how many readers went on with the checksum of another
    bool lose_answers = false;                     ///< the call is made, and its answer lost
    bool hides_sizes = false;                      ///< of what is read, as who answers in chunks
    std::deque<std::map<std::string, Error>> left; ///< what the next calls do not remove
    std::vector<std::vector<ObjectKey>> asked_to_remove;

    std::string describe() const override { return inner_.describe(); }
    awaitable<PutOutcome> put(ObjectKey key, ByteView body, PutOptions options) override {
        if (lose_answers) co_await inner_.put(key, body, options);
        step();
        const auto outcome = co_await inner_.put(key, body, options);
        co_return outcome;
    }
    awaitable<std::unique_ptr<Upload>> start_upload(ObjectKey key, PutOptions options) override {
        step();
        auto upload = co_await inner_.start_upload(key, options);
        co_return upload;
    }
    awaitable<std::optional<ObjectInfo>> head(ObjectKey key) override {
        step();
        auto info = co_await inner_.head(key);
        co_return info;
    }
    awaitable<std::unique_ptr<ObjectReader>> get(ObjectKey key, ByteRange range) override {
        step();
        auto reader = co_await inner_.get(key, range);
        if (!reader) co_return reader;
        std::unique_ptr<ObjectReader> breaking = std::make_unique<Breaking>(*this, std::move(reader));
        co_return breaking;
    }
    awaitable<ListPage> list(std::string folder, ListOptions options) override {
        step();
        auto page = co_await inner_.list(folder, options);
        co_return page;
    }
    awaitable<std::vector<RemoveFailure>> remove(std::vector<ObjectKey> keys) override {
        step();
        asked_to_remove.push_back(keys);
        std::vector<RemoveFailure> failures;
        if (!left.empty()) {
            for (const auto& [key, error] : left.front()) failures.push_back({ObjectKey(key), error});
            left.pop_front();
        }
        co_return failures;
    }
    awaitable<std::size_t> remove_stale_uploads(std::string folder, std::chrono::seconds age) override {
        return inner_.remove_stale_uploads(folder, age);
    }

private:
    struct Breaking : ObjectReader {
        Breaking(Failing& storage, std::unique_ptr<ObjectReader> inner)
            : storage_(storage), inner_(std::move(inner)), info_(inner_->info()) {
            if (storage_.hides_sizes) info_.bytes = 0;
        }
        const ObjectInfo& info() const override { return info_; }
        awaitable<std::size_t> read(MutableBytes into) override {
            storage_.step();
            const auto count = co_await inner_->read(into);
            co_return count;
        }
        void take_over(ObjectReader& broken) override {
            if (dynamic_cast<Breaking*>(&broken) != nullptr) ++storage_.taken_over;
        }
        Failing& storage_;
        std::unique_ptr<ObjectReader> inner_;
        ObjectInfo info_;
    };
    void step() {
        ++calls;
        if (script.empty()) return;
        const auto next = script.front();
        script.pop_front();
        if (next) throw *next;
    }
    Storage& inner_;
};

const Error lost(ErrorKind::transient, "connection reset");
const Error forbidden(ErrorKind::denied, "AccessDenied");

/// Time passes only by sleeping.
struct RetryFixture {
    test::FileBackend backend;
    Failing failing{backend.storage()};
    std::shared_ptr<Log> log = silent_log();
    std::vector<std::chrono::milliseconds> slept;
    std::chrono::steady_clock::time_point clock{};
    double dice = 1;
    std::unique_ptr<Storage> retrying;

    explicit RetryFixture(RetryPolicy policy = {}) {
        RetryEnvironment environment;
        environment.sleep = [this](std::chrono::milliseconds time) -> awaitable<void> {
            slept.push_back(time);
            clock += time;
            co_return;
        };
        environment.now = [this] { return clock; };
        environment.random = [this] { return dice; };
        retrying = make_retrying_storage(failing, policy, environment, *log);
    }
    PutOutcome put(const std::string& text, bool if_absent) {
        PutOptions options;
        options.if_absent = if_absent;
        return backend.loop.run(retrying->put(ObjectKey("k"), bytes_of(text), options));
    }
    std::string get(std::size_t piece) {
        auto read = [](Storage& storage, std::size_t bytes) -> awaitable<std::string> {
            const auto reader = co_await storage.get(ObjectKey("k"), {});
            std::string text;
            Blob chunk(bytes);
            for (;;) {
                const auto count = co_await reader->read({chunk.data(), bytes});
                if (count == 0) co_return text;
                text += text_of({chunk.data(), count});
            }
        };
        return backend.loop.run(read(*retrying, piece));
    }
};

} // namespace

TEST_CASE("what failed for the moment is tried again, later and later", "[storage]") {
    RetryFixture fixture;
    fixture.failing.script = {lost, lost, lost};
    CHECK(fixture.put("x", true) == PutOutcome::stored);
    CHECK(fixture.failing.calls == 4);
    using std::chrono::milliseconds;
    CHECK(fixture.slept == std::vector<milliseconds>{milliseconds(200), milliseconds(400), milliseconds(800)});
}

TEST_CASE("waits are jittered over their whole length and bounded", "[storage]") {
    RetryFixture fixture;
    fixture.dice = 0;
    fixture.failing.script = {lost};
    fixture.put("x", false);
    CHECK(fixture.slept.front() == std::chrono::milliseconds(0));
    RetryFixture patient({.attempts_max = 12, .deadline = std::chrono::hours(9)});
    for (int count = 0; count < 11; ++count) patient.failing.script.push_back(lost);
    patient.put("x", false);
    CHECK(patient.slept.back() == RetryPolicy().delay_max);
}

TEST_CASE("what will not get better is not tried again", "[storage]") {
    RetryFixture fixture;
    fixture.failing.script = {forbidden};
    CHECK(kind_of([&] { fixture.put("x", true); }) == ErrorKind::denied);
    CHECK(fixture.failing.calls == 1);
}

TEST_CASE("attempts and the deadline end it", "[storage]") {
    RetryFixture few({.attempts_max = 3});
    for (int count = 0; count < 9; ++count) few.failing.script.push_back(lost);
    CHECK(kind_of([&] { few.put("x", true); }) == ErrorKind::transient);
    CHECK(few.failing.calls == 3);
    RetryFixture brief({.attempts_max = 1000, .deadline = std::chrono::seconds(1)});
    for (int count = 0; count < 99; ++count) brief.failing.script.push_back(lost);
    CHECK(kind_of([&] { brief.put("x", true); }) == ErrorKind::transient);
    CHECK(brief.clock.time_since_epoch() <= std::chrono::seconds(1));
}

TEST_CASE("objects that a storage asks to wait for are removed later, the others' failures stay", "[storage]") {
    const std::vector<ObjectKey> keys{ObjectKey("a"), ObjectKey("b"), ObjectKey("c")};
    RetryFixture fixture;
    fixture.failing.left = {{{"a", lost}, {"b", forbidden}, {"c", lost}}, {{"c", lost}}};
    const auto failures = fixture.backend.loop.run(fixture.retrying->remove(keys));
    REQUIRE(failures.size() == 1);
    CHECK(failures[0].key == ObjectKey("b"));
    const std::vector<std::vector<ObjectKey>> asked{keys, {ObjectKey("a"), ObjectKey("c")}, {ObjectKey("c")}};
    CHECK(fixture.failing.asked_to_remove == asked);
    CHECK(fixture.slept.size() == 2);

    RetryFixture few({.attempts_max = 2});
    few.failing.left = {{{"a", lost}, {"b", forbidden}}, {{"a", lost}}, {{"a", lost}}};
    const auto rest = few.backend.loop.run(few.retrying->remove(keys));
    REQUIRE(rest.size() == 2);
    CHECK(rest[0].key == ObjectKey("b"));
    CHECK(rest[1].key == ObjectKey("a"));
    CHECK(few.failing.asked_to_remove.size() == 2);
}

TEST_CASE("a put whose answer was lost is found to be stored", "[storage]") {
    RetryFixture fixture;
    fixture.failing.script = {lost};
    fixture.failing.lose_answers = true;
    CHECK(fixture.put("x", true) == PutOutcome::stored);
    CHECK(fixture.get(100) == "x");
}

TEST_CASE("what somebody else put under the name of a put without an answer is not taken for it", "[storage]") {
    for (const auto* text : {"other", "long", "longer", ""}) {
        RetryFixture fixture;
        fixture.put(text, false);
        fixture.failing.script = {lost};
        CHECK(fixture.put("mine", true) == PutOutcome::exists);
        CHECK(fixture.get(100) == text);
    }
    // Nor is its own content, which was there before.
    RetryFixture fixture;
    fixture.put("mine", false);
    CHECK(fixture.put("mine", true) == PutOutcome::exists);
}

TEST_CASE("a read that breaks goes on where it was", "[storage]") {
    RetryFixture fixture;
    fixture.put("0123456789", false);
    fixture.failing.script = {std::nullopt, std::nullopt, lost, std::nullopt, std::nullopt, lost};
    CHECK(fixture.get(3) == "0123456789");
    CHECK(fixture.failing.taken_over == 2); // what came in pieces is proved as a whole
}

TEST_CASE("a read whose size was not announced goes on too where it broke", "[storage]") {
    RetryFixture fixture;
    fixture.put("0123456789", false);
    fixture.failing.hides_sizes = true;
    fixture.failing.script = {std::nullopt, lost, std::nullopt, std::nullopt, lost};
    CHECK(fixture.get(3) == "0123456789");
    CHECK(fixture.failing.taken_over == 2);
    // That it is one's own is found out by its bytes.
    RetryFixture mine;
    mine.failing.script = {lost};
    mine.failing.lose_answers = mine.failing.hides_sizes = true;
    CHECK(mine.put("x", true) == PutOutcome::stored);
}

TEST_CASE("an object that changes under a read is an error, not a mixture", "[storage]") {
    RetryFixture fixture;
    fixture.put("0123456789", false);
    auto read = [&]() -> awaitable<void> {
        const auto reader = co_await fixture.retrying->get(ObjectKey("k"), {});
        Blob chunk(4);
        co_await reader->read({chunk.data(), 4});
        co_await fixture.backend.storage().put(ObjectKey("k"), bytes_of("abcdefghijkl"), {});
        fixture.failing.script = {lost};
        co_await reader->read({chunk.data(), 4});
    };
    CHECK(kind_of([&] { fixture.backend.loop.run(read()); }) == ErrorKind::corrupt);
}

} // namespace walgd::storage
