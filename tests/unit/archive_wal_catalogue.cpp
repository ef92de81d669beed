#include "common/archive/wal/wal_integrity.hpp"

#include "common/archive/layout.hpp"
#include "common/archive/retention/retention_inventory.hpp"
#include "common/archive/wal/lost_segments.hpp"
#include "tests/unit/memory_storage.hpp"

#include <fmt/format.h>
#include <random>

namespace walgd::archive {

namespace {

using test::Loop;

constexpr std::uint64_t one_mib = 1 << 20;

WalCatalogue catalogue(const std::vector<std::string>& names, std::uint64_t segment_bytes = 16 * one_mib) {
    WalCollector collector;
    for (const auto& name : names) collector.add(name, 100);
    return std::move(collector).finish(segment_bytes);
}

std::string segment(std::uint32_t timeline, std::uint64_t number) {
    return pg::segment_name({pg::TimelineId(timeline), number}, 16 * one_mib);
}

/// Names in a folder, a thousand a page as S3 lists them, with what was asked noted.
class Names : public test::MemoryStorage {
public:
    using MemoryStorage::MemoryStorage;
    std::set<std::string> names;
    std::size_t page_objects = 1000, lists = 0, fail_at = 0;
    std::function<bool(const storage::ListOptions&)> slow; ///< this request takes a second

    ~Names() override { Clock::release(); }

    awaitable<storage::ListPage> list(std::string folder, storage::ListOptions options) override {
        const auto executor = co_await asio::this_coro::executor;
        co_await asio::post(executor, asio::use_awaitable);
        if (slow && slow(options)) Clock::wind(std::chrono::seconds(1));
        if (++lists == fail_at) throw Error(ErrorKind::transient, "no answer");
        const auto after = options.token.value_or(options.after);
        storage::ListPage page;
        auto name = names.upper_bound(after);
        for (; name != names.end() && page.objects.size() < page_objects; ++name) {
            storage::ObjectInfo info;
            info.key = storage::ObjectKey(folder + *name);
            info.bytes = 7;
            page.objects.push_back(info);
        }
        if (name != names.end()) page.next = *std::prev(name);
        co_return page;
    }
};

WalCatalogue listed(Loop& loop, storage::Storage& storage, unsigned at_once) {
    return loop.run(collect_wal(storage, at_once)).finish(16 * one_mib);
}

} // namespace

TEST_CASE("a catalogue has the segments of each timeline, whatever method they have", "[archive]") {
    const auto wal = catalogue({segment(1, 255) + ".zst", segment(1, 256) + ".lz4", segment(1, 258), segment(2, 259) + ".br"});
    REQUIRE(wal.timelines.size() == 2);
    const auto& first = wal.timelines.at(pg::TimelineId(1));
    CHECK(first.runs == std::vector<SegmentRun>{{255, 256}, {258, 258}});
    CHECK(first.gaps() == std::vector<SegmentRun>{{257, 257}});
    CHECK(first.segments == 3);
    CHECK(first.bytes == 300);
    CHECK(wal.has({pg::TimelineId(1), 256}));
    CHECK_FALSE(wal.has({pg::TimelineId(1), 257}));
    CHECK_FALSE(wal.has({pg::TimelineId(3), 256}));
    CHECK(wal.odd.empty());
}

TEST_CASE("what is no segment is listed by its name, and what nobody knows is odd", "[archive]") {
    const auto wal = catalogue({"00000002.history.zst", segment(1, 1) + ".00000028.backup.zst", segment(1, 1) + ".partial",
                                segment(1, 0) + "_delta.zst", segment(1, 8) + ".json", segment(1, 16).substr(0, 23) + ".json",
                                "notes.txt", "0000000100000000000000zz.zst"});
    CHECK(wal.timelines.empty());
    CHECK(wal.others.size() == 8);
    CHECK(wal.odd == std::vector<OddObject>{{"0000000100000000000000zz.zst", "is no WAL file's object"},
                                            {"notes.txt", "is no WAL file's object"}});
    CHECK(wal.highest_timeline() == pg::TimelineId(2));
}

TEST_CASE("an empty object and a second one of the same segment count for nothing, and are named", "[archive]") {
    WalCollector collector;
    collector.add(segment(1, 1) + ".zst", 0);
    collector.add(segment(1, 2) + ".zst", 9);
    collector.add(segment(1, 2) + ".lz4", 9);
    const auto wal = std::move(collector).finish(16 * one_mib);
    CHECK(wal.timelines.at(pg::TimelineId(1)).segments == 1);
    REQUIRE(wal.odd.size() == 2);
    CHECK(wal.odd[0] == OddObject{segment(1, 1) + ".zst", "is empty"});
    CHECK(wal.odd[1].name == segment(1, 2));
}

TEST_CASE("names that the segment size does not allow are odd", "[archive]") {
    const auto wal = catalogue({"0000000100000000000000FF", "000000010000000000000100"});
    CHECK(wal.timelines.at(pg::TimelineId(1)).segments == 1);
    REQUIRE(wal.odd.size() == 1);
    CHECK(wal.odd[0].name == "000000010000000000000100");
    CHECK(catalogue({"0000000100000000000000FF", "000000010000000000000100"}, one_mib).odd.empty());
}

TEST_CASE("a small folder is listed by one request", "[archive]") {
    Loop loop;
    Names storage(loop.executor());
    for (std::uint64_t number = 1; number <= 1000; ++number) storage.names.insert(segment(1, number) + ".zst");
    const auto wal = listed(loop, storage, 16);
    CHECK(wal.objects == 1000);
    CHECK(storage.lists == 1);
}

TEST_CASE("a large folder is listed from several places at once, each object once, at few more requests", "[archive]") {
    Loop loop;
    Names storage(loop.executor());
    for (std::uint64_t number = 1; number <= 200'000; ++number) storage.names.insert(segment(1, number) + ".zst");
    const auto wal = listed(loop, storage, 16);
    CHECK(wal.objects == 200'000);
    CHECK(wal.bytes == 1'400'000);
    CHECK(wal.timelines.at(pg::TimelineId(1)).runs == std::vector<SegmentRun>{{1, 200'000}});
    CHECK(storage.lists < 200 + 70);
}

TEST_CASE("a storage that is slow to find a place is listed page after page", "[archive]") {
    Loop loop;
    Names storage(loop.executor());
    Clock::stop();
    std::size_t places = 0;
    storage.slow = [&](const storage::ListOptions& options) {
        places += options.token ? 0 : 1;
        if (!options.token) Clock::wind(std::chrono::seconds(9));
        return true;
    };
    for (std::uint64_t number = 1; number <= 50'000; ++number) storage.names.insert(segment(1, number) + ".zst");
    CHECK(listed(loop, storage, 16).objects == 50'000);
    CHECK(places == 2);
    CHECK(storage.lists == 50 + 1);
}

TEST_CASE("any folder is listed whole: gaps, timelines, foreign names, any number at once", "[archive]") {
    std::mt19937 dice(GENERATE(range(1U, 40U)));
    Loop loop;
    Names storage(loop.executor());
    storage.page_objects = 10;
    Clock::stop();
    storage.slow = [&](const storage::ListOptions&) { return dice() % 8 == 0; };
    std::uint64_t number = dice() % 1000;
    for (std::uint32_t timeline = 1 + dice() % 3; timeline < 20; timeline += 1 + dice() % 9) {
        storage.names.insert(fmt::format("{:08X}.history.lz4", timeline));
        for (auto count = dice() % 300; count > 0; --count) {
            number += dice() % 50 == 0 ? dice() % 5000 : 1;
            storage.names.insert(segment(timeline, number) + ".zst");
        }
        if (dice() % 3 == 0) storage.names.insert(fmt::format("{:08X}zz", timeline));
        if (dice() % 3 == 0) storage.names.insert("a foreign name");
    }
    const auto wal = listed(loop, storage, 1 + dice() % 8);
    CHECK(wal.objects == storage.names.size());
    std::uint64_t segments = 0;
    for (const auto& [id, timeline] : wal.timelines) segments += timeline.segments;
    CHECK(segments + wal.others.size() == storage.names.size());
}

TEST_CASE("an inventory has the WAL by name, in whatever order it was listed", "[archive]") {
    Loop loop;
    Names storage(loop.executor());
    storage.page_objects = 10;
    for (std::uint64_t number = 1; number <= 2000; ++number) storage.names.insert(segment(1, number) + ".zst");
    MemoryBudget budget{1 << 20};
    const auto log = silent_log();
    Archive archive{storage, {codec::compression_by_name("zstd"), "", nullptr}, loop.executor(), loop.executor(), budget, *log};
    const auto inventory = loop.run(take_inventory(archive));
    CHECK(inventory.wal_objects.size() == 2000);
    CHECK(std::ranges::is_sorted(inventory.wal_objects, {}, [](const auto& object) { return object.key.path(); }));
    CHECK(storage.lists > 2 * 200); // of both folders, this one from several places
}

TEST_CASE("a listing that fails in the middle is an error, never a shorter list", "[archive]") {
    Loop loop;
    Names storage(loop.executor());
    storage.page_objects = 10;
    for (std::uint64_t at = 1; at <= 500; ++at) storage.names.insert(segment(1, at) + ".zst");
    storage.fail_at = GENERATE(1U, 2U, 7U, 12U);
    CHECK(test::kind_of([&] { listed(loop, storage, 4); }) == ErrorKind::transient);
}

namespace {

std::vector<std::string> segments_between(std::uint32_t timeline, std::uint64_t first, std::uint64_t last) {
    std::vector<std::string> names;
    for (auto number = first; number <= last; ++number) names.push_back(segment(timeline, number));
    return names;
}

std::string told(const std::vector<CheckedRun>& runs) {
    std::string text;
    for (const auto& run : runs)
        text += fmt::format("{}:{}-{} {};", run.timeline.number(), run.segments.first, run.segments.last, name_of(run.state));
    return text;
}

constexpr pg::TimelineId one(1), two(2);

} // namespace

TEST_CASE("the check walks from behind the current segment to the first one", "[archive]") {
    const auto wal = catalogue(segments_between(1, 3, 9));
    CHECK(told(check_segments(wal, {}, {one, 10}, 3, {})) == "1:3-9 FOUND;");
    CHECK(told(check_segments(wal, {}, {one, 3}, 3, {})).empty());
    CHECK(told(check_segments(wal, {}, {one, 12}, 2, {.delayed = 0, .uploading = 2})) ==
          "1:2-2 MISSING_LOST;1:3-9 FOUND;1:10-11 MISSING_UPLOADING;");
}

TEST_CASE("the newest may be late, those behind them on their way; what is missing after that is lost", "[archive]") {
    auto names = segments_between(1, 1, 20);
    std::erase(names, segment(1, 5));
    std::erase(names, segment(1, 17));
    const auto wal = catalogue(names);
    CHECK(told(check_segments(wal, {}, {one, 23}, 1, {.delayed = 3, .uploading = 4})) ==
          "1:1-4 FOUND;1:5-5 MISSING_LOST;1:6-16 FOUND;1:17-17 MISSING_UPLOADING;1:18-20 FOUND;1:21-22 MISSING_DELAYED;");
}

TEST_CASE("the check goes down the timelines, and skips switches that never came true", "[archive]") {
    auto names = segments_between(1, 1, 5);
    for (const auto& name : segments_between(2, 5, 9)) names.push_back(name);
    const auto wal = catalogue(names);
    const SwitchPoints switches{{3, pg::TimelineId(7)}, {5, one}};
    CHECK(told(check_segments(wal, switches, {two, 10}, 1, {})) == "1:1-4 FOUND;2:5-9 FOUND;");
}

TEST_CASE("two turns in one segment lead to the timeline that has the segment before", "[archive]") {
    auto names = segments_between(1, 1, 4);
    for (const auto& name : segments_between(3, 5, 9)) names.push_back(name);
    const auto wal = catalogue(names);
    const auto history = pg::parse_timeline_history("1 0/5000100\n2 0/5000200\n", pg::TimelineId(3), "00000003.history");
    const auto switches = switch_points(history, 16 * one_mib);
    CHECK(told(check_segments(wal, switches, {pg::TimelineId(3), 10}, 1, {})) == "1:1-4 FOUND;3:5-9 FOUND;");
    const BackupEntry backup{"base_" + segment(1, 2), {}, segment(1, 2)};
    CHECK(why_not_usable(backup, switches, pg::TimelineId(3), 16 * one_mib).empty());
}

TEST_CASE("an integrity check fails by what is lost, and only warns of what is late", "[archive]") {
    const CheckedRun found{one, {5, 9}, SegmentState::found}, lost{one, {1, 4}, SegmentState::lost},
        late{one, {10, 11}, SegmentState::delayed};
    CHECK(status_of({found}, true) == CheckStatus::ok);
    CHECK(status_of({}, true) == CheckStatus::ok);
    CHECK(status_of({found, late}, true) == CheckStatus::warning);
    CHECK(status_of({lost, found}, true) == CheckStatus::failure);
    CHECK(status_of({lost, found}, false) == CheckStatus::warning);
    CHECK(status_of({lost, late}, false) == CheckStatus::failure);
    CHECK(status_of({late}, false) == CheckStatus::warning);
    CHECK(status_of({found, lost, found}, false) == CheckStatus::failure);
    CHECK(timeline_status({}, one) == CheckStatus::warning);
    CHECK(timeline_status(two, two) == CheckStatus::ok);
    CHECK(timeline_status(two, one) == CheckStatus::failure);
}

TEST_CASE("what was deleted is not lost, though PostgreSQL calls it archived", "[archive]") {
    // Backups of 3 to 4, of 10 and of 15; the first is there for its own moment.
    auto names = segments_between(1, 3, 4);
    for (const auto& name : segments_between(1, 10, 18)) names.push_back(name);
    const auto called = segments_between(1, 1, 20);
    const std::vector<BackupWal> backups{{one, {3, 4}, true}, {one, {10, 10}}, {one, {15, 15}}};
    CHECK(lost_segments(called, catalogue(names), backups) == segments_between(1, 19, 20));
    CHECK(lost_segments(called, catalogue(names), {}).size() == 9);
    auto recovered = backups;
    recovered.front().alone = false; // nobody deleted what is behind it
    auto lost = segments_between(1, 5, 9);
    for (const auto& name : segments_between(1, 19, 20)) lost.push_back(name);
    CHECK(lost_segments(called, catalogue(names), recovered) == lost);
    auto less = names;
    std::erase_if(less,
                  [](const auto& name) { return name == segment(1, 4) || name == segment(1, 12) || name == segment(1, 10); });
    CHECK(lost_segments(segments_between(1, 1, 18), catalogue(less), backups) ==
          std::vector{segment(1, 4), segment(1, 10), segment(1, 12)});
    // Some of it is there: then nothing of it was deleted.
    auto more = names;
    more.insert(more.begin() + 2, segment(1, 6));
    CHECK(lost_segments(segments_between(1, 1, 10), catalogue(more), backups) ==
          std::vector{segment(1, 5), segment(1, 7), segment(1, 8), segment(1, 9)});
    more = names;
    more.insert(more.begin() + 2, segment(1, 9));
    CHECK(lost_segments(segments_between(1, 1, 10), catalogue(more), backups).empty());
}

TEST_CASE("the earliest backup is not permanent and of the cluster's own history", "[archive]") {
    auto backup = [](std::uint32_t timeline, std::uint64_t number) {
        return BackupEntry{"base_" + segment(timeline, number), {}, segment(timeline, number)};
    };
    const SwitchPoints switches{{10, one}};
    const std::vector<BackupEntry> backups{backup(1, 2), backup(1, 4), backup(1, 12), backup(2, 3), backup(2, 11), backup(4, 1)};
    std::vector<std::string> heard;
    const auto start = earliest_backup(backups, {backups[0].name}, switches, two, 16 * one_mib,
                                       [&](const std::string& why) { heard.push_back(why); });
    CHECK(start.backup == backups[1].name);
    CHECK(start.first == 4);
    CHECK(heard.size() == 4);
    CHECK(earliest_backup({}, {}, switches, two, 16 * one_mib, {}).backup.empty());
}

} // namespace walgd::archive
