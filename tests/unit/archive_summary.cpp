#include "common/archive/archive_summary.hpp"

#include <catch2/catch.hpp>

using namespace walgd;
using namespace walgd::archive;

namespace {

ArchiveSummary made_summary() {
    ArchiveSummary summary;
    WalCollector collector;
    for (const auto* name :
         {"000000010000000000000001", "000000010000000000000002", "000000010000000000000005", "000000020000000000000005"})
        collector.add(std::string(name) + ".lz4", 100);
    collector.add("strange", 1);
    summary.wal = std::move(collector).finish(pg::segment_bytes_default);
    summary.odd_objects = summary.wal.odd.size();
    summary.parents[pg::TimelineId(1)] = {};
    summary.parents[pg::TimelineId(2)] = {.left = pg::PastTimeline{pg::TimelineId(1), pg::Lsn(0x5000028)}, .trouble = ""};
    BackupDetails whole{{"base_000000010000000000000001", storage::Modified(std::chrono::nanoseconds(1'700'000'000'123'456'789)),
                         "000000010000000000000001"},
                        {},
                        ""};
    whole.metadata.start_time = *parse_time("2026-05-01T10:00:00.25Z");
    whole.metadata.start_lsn = pg::Lsn(0x1000028);
    whole.metadata.hostname = "pg\"1<>\n";
    whole.metadata.system = pg::SystemIdentifier(7711127754801677347ULL);
    whole.metadata.user_data = R"({"a":[1,"b"]})";
    summary.backups = {whole, {{"base_x", {}, std::string(24, 'Z')}, {}, "metadata.json is not there"}};
    return summary;
}

} // namespace

TEST_CASE("a summary comes out of its text as it went in", "[archive]") {
    const auto summary = made_summary();
    const auto text = to_text(summary, Documents::whole);
    const auto again = parse_summary(text);
    CHECK(to_text(again, Documents::whole) == text);
    CHECK(again.parents == summary.parents);
    CHECK(again.wal.odd == summary.wal.odd);
    REQUIRE(again.wal.timelines.size() == 2);
    for (const auto& [id, timeline] : summary.wal.timelines) {
        CHECK(again.wal.timelines.at(id).runs == timeline.runs);
        CHECK(again.wal.timelines.at(id).segments == timeline.segments);
        CHECK(again.wal.timelines.at(id).bytes == timeline.bytes);
    }
    REQUIRE(again.backups.size() == 2);
    for (std::size_t index = 0; index < 2; ++index) {
        CHECK(again.backups[index].entry.modified == summary.backups[index].entry.modified);
        CHECK(to_json(again.backups[index].metadata) == to_json(summary.backups[index].metadata));
        CHECK(again.backups[index].metadata.start_lsn == summary.backups[index].metadata.start_lsn);
        CHECK(again.backups[index].metadata.finish_lsn == summary.backups[index].metadata.finish_lsn);
        CHECK(again.backups[index].trouble == summary.backups[index].trouble);
    }
}

TEST_CASE("without documents a summary tells where backups start and finish", "[archive]") {
    const auto summary = made_summary();
    const auto again = parse_summary(to_text(summary, Documents::places));
    REQUIRE(again.backups.size() == 2);
    CHECK(again.backups[0].metadata.start_lsn == pg::Lsn(0x1000028));
    CHECK_FALSE(again.backups[0].metadata.finish_lsn);
    CHECK(again.backups[0].metadata.hostname.empty());
    CHECK(again.backups[1].trouble == summary.backups[1].trouble);
}

TEST_CASE("of odd objects a summary names the first, and tells how many there are", "[archive]") {
    ArchiveSummary summary;
    summary.wal.odd.assign(odd_named_max + 5, {"strange", "is empty"});
    summary.odd_objects = summary.wal.odd.size();
    const auto again = parse_summary(to_text(summary, Documents::whole));
    CHECK(again.wal.odd.size() == odd_named_max);
    CHECK(again.odd_objects == odd_named_max + 5);
}

TEST_CASE("a summary that no archive can have is refused", "[archive]") {
    const auto text = to_text(made_summary(), Documents::whole);
    auto changed = [&text](std::string_view from, std::string_view to) {
        auto other = text;
        REQUIRE(other.find(from) != std::string::npos);
        return other.replace(other.find(from), from.size(), to);
    };
    for (const auto& broken :
         {std::string(), std::string("[]"), text.substr(0, text.size() / 2), changed("[1,2]", "[2,1]"), changed("[1,2]", "[1,5]"),
          changed("[1,2]", "[-1,2]"), changed("[1,2]", "[1]"), changed("\"version\":1", "\"version\":2"),
          changed("\"segment_bytes\":16777216", "\"segment_bytes\":3"), changed("\"id\":2", "\"id\":1"),
          changed("\"id\":2", "\"id\":4294967296")}) {
        INFO(broken);
        try {
            parse_summary(broken);
            FAIL("it was taken");
        } catch (const Error& error) {
            CHECK(error.kind() == ErrorKind::protocol);
        }
    }
}

TEST_CASE("a segment that is added joins the runs beside it", "[archive]") {
    WalTimeline timeline{.id = pg::TimelineId(1), .runs = {{10, 12}}, .segments = 3, .bytes = 30};
    for (const auto number : std::initializer_list<std::uint64_t>{15, 5, 13, 9, 14}) timeline.add(number, 7);
    CHECK(timeline.runs == std::vector<SegmentRun>{{5, 5}, {9, 15}});
    CHECK(timeline.segments == 8);
    CHECK(timeline.bytes == 65);
    CHECK(timeline.has(14));
    CHECK_FALSE(timeline.has(8));
}
