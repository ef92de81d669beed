#include "daemon/wal/level_control.hpp"
#include "daemon/wal/wal_queue.hpp"

#include <catch2/catch.hpp>

namespace walgd::daemon {

namespace {

using Outcome = WalQueue::Outcome;
using State = WalQueue::State;
using namespace std::chrono_literals;

const std::string first = "000000010000000000000001", second = "000000010000000000000002", third = "000000010000000000000003";

FileIdentity identity(ino_t inode) {
    struct stat about{};
    about.st_ino = inode;
    about.st_size = 16 << 20;
    return FileIdentity(about);
}

const Clock::time_point start(1h);

/// Stores the next file ahead, and says which it was.
std::string store_next(WalQueue& queue, Outcome outcome = Outcome::stored, Clock::time_point now = start) {
    const auto name = queue.next(now);
    if (!name) return "-";
    queue.begin(*name, identity(1), true);
    queue.end(*name, identity(1), outcome, now);
    return *name;
}

} // namespace

TEST_CASE("files are stored ahead in PostgreSQL's order: history files first, then by name", "[daemon]") {
    WalQueue queue({});
    const std::vector<std::string> names{third, "00000002.history", first, "000000010000000000000002.00000028.backup", second};
    queue.ready_are(names);
    CHECK(store_next(queue) == "00000002.history");
    CHECK(store_next(queue) == first);
    CHECK(store_next(queue) == second);
    CHECK(store_next(queue) == "000000010000000000000002.00000028.backup");
    CHECK(store_next(queue) == third);
    CHECK(store_next(queue) == "-");
    CHECK(queue.backlog() == 0);
    CHECK(queue.stored_ahead() == 5);
}

TEST_CASE("a stored file is known by name and identity for as long as it is ready", "[daemon]") {
    WalQueue queue({});
    queue.ready(first);
    store_next(queue);
    CHECK(queue.find(first, identity(1)) == State::stored);
    CHECK(!queue.find(first, identity(2)));
    CHECK(!queue.find(second, identity(1)));
    queue.not_ready(first);
    CHECK(!queue.find(first, identity(1)));
    queue.ready(first);
    CHECK(queue.next(start) == first);
}

TEST_CASE("nothing is remembered of a file that is not ready", "[daemon]") {
    WalQueue queue({});
    queue.begin(first, identity(1), false);
    CHECK(queue.find(first, identity(1)) == State::in_flight);
    queue.end(first, identity(1), Outcome::stored, start);
    CHECK(!queue.find(first, identity(1)));
}

TEST_CASE("a file that stops being ready while it is in flight is forgotten at its end", "[daemon]") {
    WalQueue queue({});
    queue.ready(first);
    queue.begin(first, identity(1), true);
    queue.ready_are({});
    CHECK(queue.find(first, identity(1)) == State::in_flight);
    queue.end(first, identity(1), Outcome::stored, start);
    CHECK(!queue.find(first, identity(1)));
    CHECK(queue.ahead_in_flight() == 0);
}

TEST_CASE("what changes while the folder is read is newer than what was read", "[daemon]") {
    WalQueue queue({});
    queue.ready_are({first});
    queue.scan_begins();
    queue.ready(second);
    CHECK(store_next(queue) == first);
    CHECK(store_next(queue) == second);
    queue.not_ready(first);
    queue.ready_are({first}); // as it was before both
    CHECK(queue.ready_count() == 1);
    CHECK(queue.find(second, identity(1)) == State::stored);
    queue.scan_begins();
    queue.scan_begins();
    queue.scan_failed();
    queue.not_ready(second);
    queue.ready_are({second, third});
    CHECK(queue.next(start) == third);
    CHECK(queue.ready_count() == 1);
    queue.ready_are({first, second}); // nothing is remembered behind a scan
    CHECK(queue.ready_count() == 2);
}

TEST_CASE("no more is under way ahead than allowed, and no further ahead", "[daemon]") {
    WalQueue queue({.ahead_files = 3, .ahead_at_once = 2});
    queue.ready_are({"000000010000000000000004", first, second, third});
    queue.begin(first, identity(1), true);
    queue.begin(second, identity(1), true);
    CHECK(!queue.next(start));
    queue.end(first, identity(1), Outcome::stored, start);
    CHECK(queue.next(start) == third);
    queue.end(second, identity(1), Outcome::stored, start);
    store_next(queue);
    CHECK(!queue.next(start));
    queue.not_ready(first);
    CHECK(queue.next(start) == "000000010000000000000004");
    CHECK(!WalQueue({.ahead_files = 0, .ahead_at_once = 2}).next(start));
}

TEST_CASE("a file that PostgreSQL asked for is not stored ahead a second time", "[daemon]") {
    WalQueue queue({});
    queue.ready(first);
    queue.begin(first, identity(1), false);
    CHECK(!queue.next(start));
    queue.end(first, identity(1), Outcome::stored, start);
    CHECK(!queue.next(start));
    CHECK(queue.ahead_in_flight() == 0);
}

TEST_CASE("what was refused waits for PostgreSQL, and holds up nothing", "[daemon]") {
    WalQueue queue({});
    queue.ready_are({first, second});
    CHECK(store_next(queue, Outcome::refused) == first);
    CHECK(queue.find(first, identity(1)) == State::refused);
    CHECK(store_next(queue) == second);
    CHECK(!queue.next(start + 1h));
    CHECK(queue.backlog() == 1);
}

TEST_CASE("while the storage fails one file at a time is tried, at growing intervals", "[daemon]") {
    WalQueue queue({});
    queue.ready_are({first, second, third});
    queue.begin(first, identity(1), true);
    queue.begin(second, identity(1), true);
    queue.end(first, identity(1), Outcome::failed, start);
    CHECK(queue.retry_at() == start + 1s);
    CHECK(!queue.next(start + 2s)); // the second is still under way
    queue.end(second, identity(1), Outcome::failed, start);
    CHECK(queue.retry_at() == start + 2s);
    CHECK(!queue.next(start + 1s));
    auto now = start;
    for (int failures = 0; failures < 10; ++failures) {
        now = *queue.retry_at();
        CHECK(store_next(queue, Outcome::failed, now) == first);
        CHECK(*queue.retry_at() - now <= 30s);
    }
    now = *queue.retry_at();
    CHECK(store_next(queue, Outcome::stored, now) == first);
    CHECK(!queue.retry_at());
    CHECK(store_next(queue, Outcome::stored, now) == second);
}

TEST_CASE("the level follows what waits", "[daemon]") {
    LevelControl control;
    CHECK(control.level().empty());
    CHECK(control.consider(9, start));
    CHECK(control.level() == "tuned-fast");
    CHECK_FALSE(control.consider(5, start + 1s));
    CHECK(control.consider(1, start + 2s));
    CHECK(control.level().empty());
    CHECK_FALSE(control.consider(1, start + 31s));
    CHECK(control.consider(1, start + 32s));
    CHECK(control.level() == "5");
    CHECK(control.consider(2, start + 33s));
    CHECK(control.level().empty());
}

} // namespace walgd::daemon
