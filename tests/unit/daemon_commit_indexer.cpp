#include "daemon/wal/commit_indexer.hpp"
#include "tests/unit/file_backend.hpp"
#include "tests/unit/record_support.hpp"

#include <algorithm>
#include <numeric>
#include <random>

namespace walgd::daemon {

namespace {

using test::WrittenWal;

constexpr std::uint64_t index_segment_bytes = 1 << 20, first_number = 250, segments = 12;

/// Segments over the border between two objects of the index, full of commits, so that records go over every segment's end.
struct IndexWorld {
    test::FileBackend backend;
    MemoryBudget budget{64 << 20};
    std::shared_ptr<Log> log = silent_log();
    archive::Archive archive{backend.storage(),
                             {codec::compression_by_name("zstd"), "", nullptr},
                             backend.loop.executor(),
                             backend.pool(),
                             budget,
                             *log};
    static const std::string& pages() {
        static const auto written = write();
        return written;
    }
    static std::string write() {
        WrittenWal wal(pg::Lsn(first_number * index_segment_bytes));
        for (std::uint32_t xid = 1000; wal.place().bytes() < (first_number + segments) * index_segment_bytes; ++xid)
            wal.transaction_end({.kind = pg::xact_kind::commit,
                                 .xid = xid,
                                 .time = Time(),
                                 .subtransactions = std::vector<std::uint32_t>(xid % 7, 1U)});
        return wal.pages().substr(0, segments * index_segment_bytes);
    }
    std::shared_ptr<const archive::SegmentScan> scan(std::uint64_t number) const {
        const auto scan =
            std::make_shared<archive::SegmentScan>(pg::segment_name({pg::TimelineId(1), number}, index_segment_bytes));
        scan->piece(0, bytes_of(pages()).subspan((number - first_number) * index_segment_bytes, index_segment_bytes));
        return scan;
    }
    void store(CommitIndexer& indexer) {
        auto task = [&indexer]() -> awaitable<void> {
            // What add() posted comes first.
            co_await asio::post(asio::use_awaitable);
            co_await indexer.flush();
        };
        backend.loop.run(task());
    }
    archive::NoteBlock stored() {
        archive::NoteBlock all;
        for (const auto& object : backend.loop.run(archive::list_index(archive)))
            archive::merge(all, *backend.loop.run(archive::read_index(archive, object)));
        return all;
    }
};

} // namespace

TEST_CASE("segments in any order make one index, in which each commit is noted once", "[daemon]") {
    const auto whole =
        archive::RunNote::of(bytes_of(IndexWorld::pages()), pg::Lsn(first_number * index_segment_bytes), WrittenWal::page_bytes);
    std::mt19937 dice(1);
    for (int turn = 0; turn < 5; ++turn) {
        IndexWorld world;
        std::vector<std::uint64_t> numbers(segments);
        std::iota(numbers.begin(), numbers.end(), first_number);
        std::shuffle(numbers.begin(), numbers.end(), dice);
        // Half by one daemon, half by the next.
        for (std::size_t half = 0; half < 2; ++half) {
            CommitIndexer indexer(world.archive);
            for (std::size_t index = 0; index < segments / 2; ++index)
                indexer.add(world.scan(numbers[half * segments / 2 + index]), 77);
            world.store(indexer);
            CHECK(indexer.counters().noted == segments / 2);
        }
        const auto index = world.stored();
        REQUIRE(index.notes.size() == segments);
        std::uint64_t commits = 0, incomplete = 0;
        for (const auto& [number, note] : index.notes) {
            commits += note.commits;
            incomplete += !note.complete;
        }
        // What was not joined says so; all others count what begins in them.
        CHECK(commits <= whole.note.commits);
        CHECK(commits + incomplete >= whole.note.commits);
        CHECK(incomplete < segments);
    }
}

TEST_CASE("two hosts that archive the same WAL by turns lose nothing of each other's index", "[daemon]") {
    IndexWorld world;
    CommitIndexer one(world.archive), other(world.archive);
    for (std::uint64_t number = first_number; number < first_number + segments; ++number) {
        auto& indexer = number % 2 == 0 ? one : other;
        indexer.add(world.scan(number), 77);
        world.store(indexer);
        CHECK(world.stored().notes.size() == number - first_number + 1);
    }
}

TEST_CASE("in order every note but the last is complete", "[daemon]") {
    IndexWorld world;
    CommitIndexer indexer(world.archive);
    for (std::uint64_t number = first_number; number < first_number + segments; ++number) indexer.add(world.scan(number), 77);
    world.store(indexer);
    CHECK(indexer.counters().written == 2); // one object of the index a side of the border
    const auto index = world.stored();
    std::uint64_t commits = 0;
    for (const auto& [number, note] : index.notes) {
        CHECK((note.complete || number == first_number + segments - 1));
        commits += note.commits;
    }
    const auto whole =
        archive::RunNote::of(bytes_of(IndexWorld::pages()), pg::Lsn(first_number * index_segment_bytes), WrittenWal::page_bytes);
    CHECK(commits == whole.note.commits);
    CHECK(index.notes.front().second.first_commit->xid == 1000);
    CHECK(index.notes.front().second.stored_bytes == 77);
}

TEST_CASE("an index object that is damaged is replaced, and what was noted of another cluster too", "[daemon]") {
    IndexWorld world;
    const auto put = [&world](std::string text) {
        const auto key = archive::index_key({pg::TimelineId(1), 0}, {}, "zst");
        world.backend.loop.run(world.archive.storage.put(key, bytes_of(text), {}));
    };
    put("not what zstd writes");
    CommitIndexer indexer(world.archive);
    indexer.add(world.scan(first_number), 77);
    world.store(indexer);
    CHECK(world.stored().notes.size() == 1);
    auto others = world.stored();
    others.system = pg::SystemIdentifier(1);
    others.timeline = pg::TimelineId(1);
    others.segment_bytes = index_segment_bytes;
    others.notes.emplace_back(first_number + 1, archive::WalNote());
    world.backend.loop.run(archive::write_index(world.archive, others, {}));
    CommitIndexer next(world.archive);
    next.add(world.scan(first_number), 77);
    world.store(next);
    CHECK(world.stored().notes.size() == 1);
}

TEST_CASE("a segment that was cut, renamed or is none is not noted", "[daemon]") {
    IndexWorld world;
    const auto whole = bytes_of(IndexWorld::pages()).first(index_segment_bytes);
    const auto name = pg::segment_name({pg::TimelineId(1), first_number}, index_segment_bytes);
    const auto result = [](const std::string& called, ByteView bytes) {
        archive::SegmentScan scan(called);
        scan.piece(0, bytes);
        return scan.result();
    };
    CHECK(result(name, whole));
    CHECK_FALSE(result(name, whole.first(index_segment_bytes / 2)));
    CHECK_FALSE(result(pg::segment_name({pg::TimelineId(1), first_number + 1}, index_segment_bytes), whole));
    CHECK_FALSE(result("00000002.history", whole));
    const std::string zeros(index_segment_bytes, '\0');
    CHECK_FALSE(result(name, bytes_of(zeros)));
}

} // namespace walgd::daemon
