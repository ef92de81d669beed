#include "common/archive/layout.hpp"
#include "common/archive/wal/receive_start.hpp"
#include "common/archive/wal/wal_keeper.hpp"
#include "common/archive/wal/wal_stream.hpp"
#include "common/base/files.hpp"
#include "tests/unit/file_backend.hpp"
#include "tests/unit/wal_support.hpp"

#include <deque>
#include <fmt/format.h>
#include <random>
#include <thread>

namespace walgd::archive {

using pg::Lsn;
using pg::TimelineId;
using test::kind_of;

namespace {

constexpr std::uint64_t mib = 1 << 20;
const WalPosition third{TimelineId(2), Lsn(3 * mib)};

std::string content_of(const SegmentFile& file, std::size_t bytes) {
    std::string text(bytes + 1, '?');
    const auto fd = file.duplicate();
    text.resize(read_at(fd.get(), std::as_writable_bytes(std::span(text)), 0, "segment"));
    return text;
}

std::string random_text(std::size_t bytes, unsigned seed) {
    std::minstd_rand dice(seed);
    std::string text;
    while (text.size() < bytes) text += static_cast<char>(dice());
    return text;
}

} // namespace

TEST_CASE("any cut of the stream gives the same segments", "[wal]") {
    const auto stream = random_text(2 * mib + 12345, 1);
    for (const unsigned seed : {1U, 2U, 3U, 4U}) {
        const std::size_t longest = seed == 4 ? 3 * mib : 1 + seed * 70'001;
        MemoryBudget budget(8 * mib);
        WalAssembler assembler(third, mib, budget, {});
        std::minstd_rand dice(seed);
        std::vector<std::string> segments;
        for (std::size_t at = 0; at < stream.size();) {
            const auto cut = bytes_of(stream).subspan(at, std::min<std::size_t>(1 + dice() % longest, stream.size() - at));
            at += assembler.take(Lsn(third.lsn.bytes() + at), cut);
            if (!assembler.full()) continue;
            CHECK(assembler.name() == fmt::format("0000000200000000{:08X}", 3 + segments.size()));
            CHECK(assembler.take(assembler.position(), cut) == 0);
            segments.push_back(content_of(assembler.release(), mib));
        }
        REQUIRE(segments.size() == 2);
        CHECK((segments[0] + segments[1] == stream.substr(0, 2 * mib)));
        CHECK(assembler.position() == Lsn(third.lsn.bytes() + stream.size()));
        // The begun one: what came, and zeros up to its length.
        CHECK((content_of(assembler.release(), mib) == stream.substr(2 * mib) + std::string(mib - 12345, '\0')));
        CHECK(budget.used() == 0);
    }
}

TEST_CASE("a gap in the stream, or WAL that comes twice, is refused", "[wal]") {
    MemoryBudget budget(8 * mib);
    WalAssembler assembler(third, mib, budget, {});
    const auto wal = random_text(1000, 1);
    CHECK(kind_of([&] { assembler.take(Lsn(third.lsn.bytes() + 1), bytes_of(wal)); }) == ErrorKind::protocol);
    assembler.take(third.lsn, bytes_of(wal));
    CHECK(kind_of([&] { assembler.take(third.lsn, bytes_of(wal)); }) == ErrorKind::protocol);
    CHECK(kind_of([&] { assembler.take(Lsn(third.lsn.bytes() + 1001), bytes_of(wal)); }) == ErrorKind::protocol);
    CHECK(assembler.position() == Lsn(third.lsn.bytes() + 1000));
}

TEST_CASE("a segment that is large beside the budget is put together on disk", "[wal]") {
    MemoryBudget budget(8 * mib);
    const SegmentFile small(2 * mib, budget, {});
    CHECK(budget.used() == 2 * mib);
    SegmentFile large(64 * mib, budget, {});
    CHECK(budget.used() == 2 * mib);
    large.write(64 * mib - 3, bytes_of("end"));
    const auto text = content_of(large, 64 * mib);
    CHECK(text.size() == 64 * mib);
    CHECK(text.ends_with(std::string("\0end", 4)));
}

TEST_CASE("where to receive from", "[wal]") {
    ReceiveFacts facts{
        .segment_bytes = mib, .history = {TimelineId(1), {}}, .flushed = Lsn(9 * mib + 77), .slot = {}, .stored = {}};
    const auto start = [&] { return choose_start(facts); };
    SECTION("nothing stored, nothing kept: the server's current segment") {
        CHECK(start() == WalPosition{TimelineId(1), Lsn(9 * mib)});
    }
    SECTION("what the slot keeps, from its segment's start") {
        facts.slot = Lsn(4 * mib + 5);
        CHECK(start() == WalPosition{TimelineId(1), Lsn(4 * mib)});
        facts.stored[TimelineId(1)] = 3; // stored up to 4 MiB
        CHECK(start() == WalPosition{TimelineId(1), Lsn(4 * mib)});
        facts.stored[TimelineId(1)] = 6; // some of it was stored already
        CHECK(start() == WalPosition{TimelineId(1), Lsn(4 * mib)});
    }
    SECTION("a slot that lets go what is not stored does not make a hole, unless it is accepted") {
        facts.slot = Lsn(7 * mib);
        facts.stored[TimelineId(1)] = 3;
        CHECK(start() == WalPosition{TimelineId(1), Lsn(4 * mib)});
        facts.accept_gap = true;
        CHECK(start() == WalPosition{TimelineId(1), Lsn(7 * mib)});
    }
    SECTION("without a slot's position, behind what is stored, but never ahead of the server") {
        facts.stored[TimelineId(1)] = 6;
        CHECK(start() == WalPosition{TimelineId(1), Lsn(7 * mib)});
        facts.stored[TimelineId(1)] = 20;
        CHECK(start() == WalPosition{TimelineId(1), Lsn(9 * mib)});
    }
    SECTION("recovered to before an earlier turn, the server does not end the timeline that it came from where it left it") {
        facts.history = pg::parse_timeline_history("1 0/900000\n2 0/500009\n", TimelineId(3), "00000003.history");
        facts.stored = {{TimelineId(1), 8}, {TimelineId(2), 9}};
        CHECK(start() == WalPosition{TimelineId(3), Lsn(5 * mib)});
    }
    SECTION("the timeline is that of the server's history") {
        facts.history = {TimelineId(4), {{TimelineId(1), Lsn(3 * mib + 9)}, {TimelineId(3), Lsn(6 * mib + 9)}}};
        facts.stored[TimelineId(1)] = 1;
        CHECK(start() == WalPosition{TimelineId(1), Lsn(2 * mib)});
        facts.stored[TimelineId(1)] = 30; // the old server went on by itself
        CHECK(start() == WalPosition{TimelineId(1), Lsn(3 * mib)});
        facts.stored[TimelineId(2)] = 30; // another branch
        CHECK(start() == WalPosition{TimelineId(1), Lsn(3 * mib)});
        facts.stored[TimelineId(3)] = 4;
        CHECK(start() == WalPosition{TimelineId(3), Lsn(5 * mib)});
        facts.stored[TimelineId(3)] = 8;
        CHECK(start() == WalPosition{TimelineId(3), Lsn(6 * mib)});
        facts.stored[TimelineId(4)] = 6;
        CHECK(start() == WalPosition{TimelineId(4), Lsn(7 * mib)});
        facts.slot = Lsn(2 * mib + 1);
        CHECK(start() == WalPosition{TimelineId(1), Lsn(2 * mib)});
    }
    SECTION("a timeline that ended at a segment's end") {
        facts.history = {TimelineId(2), {{TimelineId(1), Lsn(3 * mib)}}};
        facts.stored[TimelineId(1)] = 2;
        CHECK(start() == WalPosition{TimelineId(2), Lsn(3 * mib)});
    }
}

namespace {

/// A server that sends what a test gives it.
class FakeServer : public pg::Replication {
public:
    std::deque<pg::StreamEvent> events;
    std::vector<pg::StandbyStatus> reports;
    std::function<void()> when_quiet;
    bool finished = false;

    const std::string& name() const override { return name_; }
    pg::ReplicationFacts identify() override { return {}; }
    std::optional<std::string> timeline_history(TimelineId) override { return {}; }
    std::optional<pg::ReplicationSlot> slot(const std::string&) override { return {}; }
    void create_slot(const std::string&) override {}
    std::optional<pg::StreamEnd> start(const Start&) override { return {}; }
    pg::StreamEvent next() override {
        if (events.empty() && when_quiet) when_quiet();
        if (events.empty()) return pg::NothingYet{};
        auto event = events.front();
        events.pop_front();
        return event;
    }
    void report(const pg::StandbyStatus& status) override { reports.push_back(status); }
    void finish() override { finished = true; }
    int socket() const override { return -1; }

private:
    std::string name_ = "a test";
};

/// An archive with an I/O thread of its own, as programs have it.
struct ReceiveFixture {
    ReceiveFixture() {
        text = test::segment_text({.address = 3 * mib}) + test::segment_text({.address = 4 * mib}, 2);
        text += test::segment_text({.address = 5 * mib}, 3).substr(0, 5000);
    }
    ~ReceiveFixture() {
        guard.reset();
        thread.join();
    }

    test::FileBackend backend;
    MemoryBudget budget{64 * mib};
    std::shared_ptr<Log> log = silent_log();
    Archive archive{backend.storage(),
                    {codec::compression_by_name("zstd"), "", nullptr},
                    backend.loop.executor(),
                    backend.pool(),
                    budget,
                    *log};
    asio::executor_work_guard<asio::any_io_executor> guard{backend.loop.executor()};
    std::thread thread{[this] { backend.loop.io().run(); }};
    std::shared_ptr<Wake> wake = std::make_shared<Wake>();
    WalPusher pusher{archive, {}};
    FakeServer server;
    std::stop_source stop;
    std::string text; ///< two segments and 5000 bytes
    std::vector<pg::Segment> stored;
    std::uint64_t stored_when_reported = 0;

    std::optional<pg::StreamEnd> run() {
        WalKeeper keeper(archive, pusher, wake);
        WalAssembler assembler({TimelineId(1), Lsn(3 * mib)}, mib, budget, stop.get_token());
        return WalStream({server, keeper, *wake, stop.get_token(), [this](pg::Segment segment) { stored.push_back(segment); }},
                         assembler)
            .run();
    }
    void send(std::size_t from, std::size_t bytes) {
        server.events.push_back(pg::WalData{Lsn(3 * mib + from), Lsn(0), bytes_of(text).subspan(from, bytes)});
    }
    bool has(const std::string& name) { return std::filesystem::exists(backend.folder / ("wal_005/" + name + ".zst")); }
};

} // namespace

TEST_CASE("what is streamed is stored, and flushed is only what is stored", "[wal]") {
    ReceiveFixture fixture;
    for (std::size_t at = 0; at < fixture.text.size(); at += 300'000)
        fixture.send(at, std::min<std::size_t>(300'000, fixture.text.size() - at));
    fixture.server.events.push_back(pg::StreamEnd{pg::NextTimeline{TimelineId(2), Lsn(5 * mib + 5000)}, {}});
    const auto end = fixture.run();
    REQUIRE(end);
    CHECK(end->next->timeline == TimelineId(2));
    CHECK(fixture.has("000000010000000000000003"));
    CHECK(fixture.has("000000010000000000000004"));
    CHECK(fixture.stored == std::vector<pg::Segment>{{TimelineId(1), 3}, {TimelineId(1), 4}});
    CHECK(fixture.server.reports.front().flushed == Lsn(3 * mib));
    for (const auto& report : fixture.server.reports) {
        CHECK(report.flushed.bytes() % mib == 0);
        CHECK(report.flushed <= Lsn(5 * mib));
        CHECK(report.flushed <= report.written);
    }
}

TEST_CASE("a server that waits for its last WAL is told that it is here, and nothing of a flush", "[wal]") {
    ReceiveFixture fixture;
    fixture.send(0, 5000);
    fixture.server.events.push_back(pg::Keepalive{Lsn(3 * mib + 4000), true}); // not yet all
    fixture.server.events.push_back(pg::Keepalive{Lsn(3 * mib + 5000), true});
    fixture.server.when_quiet = [&] { fixture.stop.request_stop(); };
    CHECK_FALSE(fixture.run());
    REQUIRE(fixture.server.reports.size() == 3);
    CHECK(fixture.server.reports[1].flushed == Lsn(3 * mib));
    CHECK(fixture.server.reports[2].flushed == Lsn(0));
    CHECK(fixture.server.reports[2].written == Lsn(3 * mib + 5000));
    CHECK(fixture.server.finished);
    CHECK(fixture.budget.used() == 0);
}

TEST_CASE("a slot is told of no position before the server has sent its WAL", "[wal]") {
    ReceiveFixture fixture;
    fixture.server.events.push_back(pg::Keepalive{Lsn(9 * mib), true});
    fixture.server.events.push_back(pg::StreamEnd{{}, "requested WAL segment has already been removed"});
    const auto end = fixture.run();
    REQUIRE(end);
    CHECK_FALSE(end->next);
    REQUIRE(fixture.server.reports.size() == 1);
    CHECK(fixture.server.reports.front().flushed == Lsn(0));
}

TEST_CASE("stopped while a segment is being stored, it is stored and reported first", "[wal]") {
    ReceiveFixture fixture;
    fixture.send(0, mib + 10);
    fixture.server.when_quiet = [&] { fixture.stop.request_stop(); };
    CHECK_FALSE(fixture.run());
    CHECK(fixture.has("000000010000000000000003"));
    CHECK(fixture.server.reports.back().flushed == Lsn(4 * mib));
    CHECK(fixture.server.finished);
}

TEST_CASE("WAL that is not what its place says is not stored", "[wal]") {
    ReceiveFixture fixture;
    fixture.text = test::segment_text({.address = 8 * mib});
    fixture.send(0, mib);
    CHECK(kind_of([&] { fixture.run(); }) == ErrorKind::corrupt);
    CHECK_FALSE(fixture.has("000000010000000000000003"));
    CHECK(fixture.server.reports.size() == 1);
}

TEST_CASE("a push that never ends is cancelled with its keeper", "[wal]") {
    ReceiveFixture fixture;
    const auto root = fixture.backend.folder.path();
    std::filesystem::rename(root, root + ".away");
    {
        WalKeeper keeper(fixture.archive, fixture.pusher, fixture.wake);
        SegmentFile file(mib, fixture.budget, {});
        file.write(0, bytes_of(fixture.text).first(mib));
        keeper.begin("000000010000000000000003", std::move(file));
        fixture.wake->wait(std::chrono::milliseconds(20));
        CHECK_FALSE(keeper.collect());
        CHECK(keeper.busy());
    }
    std::filesystem::rename(root + ".away", root);
    CHECK_FALSE(fixture.has("000000010000000000000003"));
    CHECK(fixture.budget.used() == 0);
}

TEST_CASE("the newest stored segment of each timeline is found among everything that is there", "[wal]") {
    test::FileBackend backend;
    MemoryBudget budget(8 * mib);
    const auto log = silent_log();
    Archive archive{backend.storage(),
                    {codec::compression_by_name("lz4"), "", nullptr},
                    backend.loop.executor(),
                    backend.pool(),
                    budget,
                    *log};
    for (const auto* name :
         {"000000010000000000000003.lz4", "000000010000000000000004.zst", "000000010000000000000007.partial.lz4",
          "000000010000000000000008.00000028.backup.lz4", "000000010000000000000009.json", "00000009.history.lz4",
          "000000020000000000000005", "0000000200000001000000AA.lz4", "notes.txt", "00000001000000000000FFFF.lz4"})
        backend.loop.run(backend.storage().put(storage::ObjectKey(std::string(wal_folder) + name), bytes_of("x"), {}));
    const auto newest = backend.loop.run(newest_segments(archive, 16 * mib));
    CHECK(newest == NewestSegments{{TimelineId(1), 4}, {TimelineId(2), 0x1AA}});
}

} // namespace walgd::archive
