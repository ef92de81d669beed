// Several storages as one: file storages, of which one dies when its folder is moved away.
#include "common/archive/layout.hpp"
#include "common/storage/failover/failover_storage.hpp"
#include "tests/unit/counting_storage.hpp"
#include "tests/unit/file_backend.hpp"
#include "tests/unit/stopped_clock.hpp"

namespace walgd::test {

using storage::Storage;

/// Three of them: default, east, west.
class FailoverBackend {
public:
    explicit FailoverBackend(storage::MembersOptions members = {.check_bytes = 16}) {
        storage::FailoverOptions options;
        options.members = members;
        options.anchor_of = &archive::sentinel_of;
        options.neighbours = &archive::segments_around;
        std::vector<storage::FailoverMember> list;
        for (const auto* name : {"default", "east", "west"}) {
            std::filesystem::create_directory(path(name));
            files_.push_back(storage::make_file_storage(path(name), pool_.get_executor()));
            counted.emplace_back(std::make_unique<CountingStorage>(*files_.back()));
            list.push_back({name, *counted.back(), *counted.back()});
        }
        failover = std::make_unique<storage::Failover>(std::move(list), std::move(options), loop.executor(), *log_);
    }
    ~FailoverBackend() { pool_.join(); }

    Storage& storage() { return failover->storage(); }
    std::string path(const std::string& name) const { return folder.path() + "/" + name; }
    void kill(const std::string& name) { std::filesystem::rename(path(name), path(name) + ".away"); }
    void revive(const std::string& name) { std::filesystem::rename(path(name) + ".away", path(name)); }
    bool has(const std::string& name, const std::string& key) const { return std::filesystem::exists(path(name) + "/" + key); }
    std::size_t requests() const {
        std::size_t sum = 0;
        for (const auto& one : counted) sum += static_cast<std::size_t>(one->calls);
        return sum;
    }

    TemporaryFolder folder;
    Loop loop;
    std::vector<std::unique_ptr<CountingStorage>> counted;
    std::unique_ptr<storage::Failover> failover;

private:
    asio::thread_pool pool_{2};
    std::shared_ptr<Log> log_ = silent_log();
    std::vector<std::unique_ptr<Storage>> files_;
};

} // namespace walgd::test

#define CONTRACT_BACKENDS walgd::test::FailoverBackend
#include "tests/unit/storage_contract.hpp"

namespace walgd::test {

namespace {

const std::string segment = "wal_005/000000010000000000000001.zst", next_segment = "wal_005/000000010000000000000002.zst";
const std::string backup = "basebackups_005/base_000000010000000000000002";
const std::string part = backup + "/tar_partitions/part_001.tar", sentinel = backup + "_backup_stop_sentinel.json";

/// The backend, spoken to.
struct FailoverFixture {
    FailoverBackend there;

    template <class T> T run(awaitable<T> task) { return there.loop.run(std::move(task)); }
    PutOutcome put(const std::string& key, const std::string& body, bool if_absent = true) {
        storage::PutOptions options;
        options.if_absent = if_absent;
        return run(there.storage().put(ObjectKey(key), bytes_of(body), options));
    }
    std::optional<std::string> get(Storage& storage, const std::string& key) {
        const auto blob = run(storage::get_whole(storage, ObjectKey(key), 1 << 20));
        return blob ? std::optional(std::string(text_of(blob->view()))) : std::nullopt;
    }
    std::optional<std::string> get(const std::string& key) { return get(there.storage(), key); }
    std::vector<std::string> keys(Storage& storage, const std::string& folder) {
        std::vector<std::string> keys;
        for (const auto& object : run(storage::list_all(storage, folder, true)).objects) keys.push_back(object.key.path());
        return keys;
    }
    void write(const std::string& name, const std::string& key, const std::string& body) {
        const auto file = storage::make_file_storage(there.path(name), there.loop.executor());
        run(file->put(ObjectKey(key), bytes_of(body), {}));
    }
};

} // namespace

TEST_CASE("new objects go to the first storage that can be written to, and back when their time has come", "[storage]") {
    const StoppedClock clock;
    FailoverFixture all;
    CHECK(all.put(segment, "1") == PutOutcome::stored);
    CHECK(all.there.has("default", segment));
    all.there.kill("default");
    CHECK(all.put(next_segment, "2") == PutOutcome::stored);
    CHECK(all.there.has("east", next_segment));
    CHECK(all.there.failover->aliveness().home() == 1);
    CHECK(all.there.failover->aliveness().switches() == 1);
    all.there.revive("default");
    all.put("wal_005/000000010000000000000003.zst", "3");
    CHECK(all.there.has("east", "wal_005/000000010000000000000003.zst"));
    Clock::wind(std::chrono::minutes(15));
    all.put("wal_005/000000010000000000000004.zst", "4");
    CHECK(all.there.has("default", "wal_005/000000010000000000000004.zst"));
    CHECK_FALSE(all.there.has("default", "wal-g_storage_check"));
    CHECK(all.there.failover->aliveness().home() == 0);
}

TEST_CASE("reading does not put off that a storage is tried for writing again", "[storage]") {
    const StoppedClock clock;
    FailoverFixture all;
    all.there.kill("default");
    CHECK(all.put(segment, "1") == PutOutcome::stored);
    all.there.revive("default");
    for (int minute = 0; minute < 15; ++minute) {
        Clock::wind(std::chrono::minutes(1));
        CHECK_FALSE(all.get(next_segment).has_value()); // as a standby asks for it again and again
    }
    CHECK(all.put(next_segment, "2") == PutOutcome::stored);
    CHECK(all.there.has("default", next_segment));
}

TEST_CASE("where none could be written to, each is tried again soon", "[storage]") {
    const StoppedClock clock;
    FailoverFixture all;
    for (const auto* name : {"default", "east", "west"}) all.there.kill(name);
    CHECK(kind_of([&] { all.put(segment, "1"); }) == ErrorKind::misconfigured);
    all.there.revive("east");
    Clock::wind(std::chrono::seconds(5));
    CHECK(all.put(segment, "1") == PutOutcome::stored);
    CHECK(all.there.has("east", segment));
    CHECK(all.there.failover->aliveness().home() == 1);
}

TEST_CASE("where no storage can be written to, the primary's own trouble is told", "[storage]") {
    FailoverFixture all;
    for (const auto* name : {"default", "east", "west"}) all.there.kill(name);
    const auto text = text_of_error([&] { all.put(segment, "1"); });
    CHECK(text.find(all.there.path("default")) != std::string::npos);
}

TEST_CASE("an object is read from the nearest storage that has it", "[storage]") {
    FailoverFixture all;
    all.write("west", segment, "of west");
    CHECK(all.get(segment) == "of west");
    all.write("east", segment, "of east");
    CHECK(all.get(segment) == "of east");
    CHECK(all.run(all.there.storage().head(ObjectKey(segment)))->bytes == 7);
}

TEST_CASE("what one storage keeps back, of an archive class, is read from another one that has it", "[storage]") {
    FailoverFixture all;
    all.write("default", segment, "near");
    all.there.counted[0]->keeps_back = segment;
    for (auto* storage : {&all.there.storage(), &all.there.storage().answering()})
        CHECK(kind_of([&] { all.get(*storage, segment); }) == ErrorKind::refused);
    all.there.kill("west");
    CHECK(kind_of([&] { all.get(segment); }) == ErrorKind::refused); // it is there
    all.write("east", segment, "far");
    CHECK(all.get(segment) == "far");
    CHECK(all.there.failover->aliveness().states()[0].reads);
}

TEST_CASE("absent is what every storage said; while one does not answer, it is an outage", "[storage]") {
    FailoverFixture all;
    CHECK_FALSE(all.get(segment).has_value());
    all.write("west", segment, "1");
    all.there.kill("east");
    CHECK(all.get(segment) == "1");
    const auto text = text_of_error([&] { all.get(next_segment); });
    CHECK(text.find("whether wal_005/000000010000000000000002.zst is there is not known: the storage east") == 0);
    CHECK(kind_of([&] { all.keys(all.there.storage(), "wal_005/"); }) == ErrorKind::misconfigured);
    // Those that answer say what is in them, where that is asked for.
    auto& answering = all.there.storage().answering();
    CHECK_FALSE(all.get(answering, next_segment).has_value());
    CHECK(all.keys(answering, "wal_005/") == std::vector<std::string>{segment});
}

TEST_CASE("a storage that answers again is believed at once: a lookup that depends on it asks it", "[storage]") {
    const StoppedClock clock;
    FailoverFixture all;
    all.there.kill("default");
    CHECK(kind_of([&] { all.get(segment); }) == ErrorKind::misconfigured);
    all.there.revive("default");
    // Not in the same moment: a poll every few milliseconds would wait for a dead storage each time.
    CHECK(kind_of([&] { all.get(segment); }) == ErrorKind::misconfigured);
    Clock::wind(std::chrono::seconds(5));
    CHECK_FALSE(all.get(segment).has_value());
}

TEST_CASE("a name is not given to a second content in another storage that answers", "[storage]") {
    FailoverFixture all;
    all.there.kill("default");
    CHECK(all.put(segment, "first") == PutOutcome::stored);
    all.there.revive("default");
    all.there.kill("west");
    CHECK(all.run(all.there.failover->storage().home()) != nullptr);
    FailoverFixture later; // as another process, or the daemon after its restart, finds it
    later.write("east", segment, "first");
    CHECK(later.put(segment, "other") == PutOutcome::exists);
    CHECK_FALSE(later.there.has("default", segment));
    CHECK(later.get(segment) == "first");
    const auto upload = later.run(later.there.storage().start_upload(ObjectKey(segment), {.if_absent = true, .metadata = {}}));
    later.run(upload->put_piece(1, 0, bytes_of(std::string("other"))));
    CHECK(later.run(upload->complete()) == PutOutcome::exists);
}

TEST_CASE("a hundred segments cost the other storages a listing, not a request each", "[storage]") {
    FailoverFixture all;
    all.run(all.there.failover->check_all()); // now it is known to keep its names
    all.put(segment, "1");
    const auto before = all.there.requests();
    for (int number = 0x10; number < 0x74; ++number)
        all.put(fmt::format("wal_005/0000000100000000000000{:02X}.zst", number), "x");
    CHECK(all.there.requests() - before == 100);
}

TEST_CASE("a listing is that of all storages, each name once, in order, whatever the pages", "[storage]") {
    FailoverFixture all;
    std::vector<std::string> expected;
    for (int number = 0; number < 50; ++number) {
        const auto key = fmt::format("wal_005/{:03}", number);
        expected.push_back(key);
        if (number % 2 == 0) all.write("default", key, "d");
        if (number % 3 == 0) all.write("east", key, "ee");
        if (number % 2 == 1) all.write("west", key, "www");
    }
    all.write("west", "wal_005/sub/x", "x");
    for (auto& counted : all.there.counted) counted->page_objects = 7;
    const auto page = all.run(storage::list_all(all.there.storage(), "wal_005/", false));
    std::vector<std::string> found;
    for (const auto& object : page.objects) found.push_back(object.key.path());
    CHECK(found == expected);
    CHECK(page.folders == std::vector<std::string>{"wal_005/sub/"});
    CHECK(page.objects[6].bytes == 1); // in default and east: the nearest tells
    CHECK(page.objects[9].bytes == 2); // in east and west
}

TEST_CASE("removing is of all storages, and what one may still have is told by name", "[storage]") {
    FailoverFixture all;
    for (const auto* name : {"default", "east"}) all.write(name, segment, "1");
    CHECK(all.run(all.there.storage().remove({ObjectKey(segment)})).empty());
    CHECK_FALSE(all.get(segment).has_value());
    all.write("default", segment, "1");
    all.there.kill("west");
    const auto failures = all.run(all.there.storage().remove({ObjectKey(segment)}));
    REQUIRE(failures.size() == 1);
    CHECK(failures[0].key.path() == segment);
    CHECK_FALSE(all.there.has("default", segment));
}

TEST_CASE("the name of what could not be removed is not given to a second content", "[storage]") {
    FailoverFixture all;
    all.write("east", segment, "first");
    CHECK(all.put(next_segment, "2") == PutOutcome::stored); // from here on it is known what east has
    all.there.counted[1]->keeps_all = true;
    CHECK(all.run(all.there.storage().remove({ObjectKey(segment)})).size() == 1);
    CHECK(all.put(segment, "other") == PutOutcome::exists);
    CHECK(all.get(segment) == "first");
}

TEST_CASE("a backup stays in the storage that it was begun in; when that dies it fails, and the next goes elsewhere",
          "[storage]") {
    FailoverFixture all;
    CHECK(all.put(part, "part") == PutOutcome::stored);
    CHECK(all.there.has("default", part));
    all.there.kill("default");
    CHECK(kind_of([&] { all.put(backup + "/tar_partitions/part_002.tar", "part"); }) == ErrorKind::misconfigured);
    CHECK_FALSE(all.there.has("east", backup + "/tar_partitions/part_002.tar"));
    // Anew, by the same name.
    CHECK(all.put(part, "another") == PutOutcome::stored);
    CHECK(all.put(sentinel, "{}") == PutOutcome::stored);
    CHECK(all.there.has("east", sentinel));
    all.there.revive("default");
    // What the first one left in the nearest storage is no part of it.
    CHECK(all.get(part) == "another");
    CHECK(all.keys(all.there.storage(), backup + "/") == std::vector<std::string>{part});
}

TEST_CASE("what is put into a backup that is there goes where its sentinel is, also after it was moved", "[storage]") {
    FailoverFixture all;
    all.write("west", sentinel, "{}");
    all.put(backup + "/metadata.json", "marked", false);
    CHECK(all.there.has("west", backup + "/metadata.json"));
    std::filesystem::rename(all.there.path("west") + "/basebackups_005", all.there.path("default") + "/basebackups_005");
    CHECK(all.get(backup + "/metadata.json") == "marked");
    all.put(backup + "/metadata.json", "again", false);
    CHECK(all.get(backup + "/metadata.json") == "again");
    CHECK_FALSE(all.there.has("west", backup + "/metadata.json"));
}

TEST_CASE("unchecked, no storage takes another's place", "[storage]") {
    FailoverFixture all{.there = FailoverBackend({.check = false, .check_bytes = 16})};
    all.there.kill("default");
    CHECK(kind_of([&] { all.put(segment, "1"); }) == ErrorKind::misconfigured);
    CHECK_FALSE(all.there.has("east", segment));
    all.write("east", segment, "1");
    CHECK(all.get(segment) == "1");
}

TEST_CASE("each storage is checked, and what a check wrote is gone", "[storage]") {
    FailoverFixture all;
    all.there.kill("west");
    all.run(all.there.failover->check_all());
    const auto& states = all.there.failover->aliveness().states();
    CHECK(states[0].writes);
    CHECK(states[1].writes);
    CHECK_FALSE(states[2].writes);
    CHECK_FALSE(states[2].trouble.empty());
    for (const auto* name : {"default", "east"}) CHECK_FALSE(all.there.has(name, "wal-g_storage_check"));
}

TEST_CASE("a storage where nothing may be removed can be written to all the same", "[storage]") {
    FailoverFixture all;
    all.there.counted[0]->refuses_removing = true;
    all.run(all.there.failover->check_all());
    CHECK(all.there.failover->aliveness().states()[0].writes);
    CHECK(all.there.failover->aliveness().home() == 0);
}

TEST_CASE("an object's trouble is not its storage's", "[storage]") {
    CHECK(storage::is_outage(Error(ErrorKind::transient, "no answer")));
    CHECK(storage::is_outage(Error(ErrorKind::denied, "AccessDenied")));
    CHECK(storage::is_outage(Error(ErrorKind::failed, "No space left on device")));
    CHECK_FALSE(storage::is_outage(Error(ErrorKind::corrupt, "its SHA-256 is another")));
    CHECK_FALSE(storage::is_outage(Error(ErrorKind::refused, "other content")));
    CHECK_FALSE(storage::is_outage(Error(ErrorKind::cancelled, "cancelled")));
}

} // namespace walgd::test
