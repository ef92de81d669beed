#include "daemon/archive_view.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

using namespace walgd;
using namespace walgd::daemon;

namespace {

constexpr std::uint64_t view_mib = 1 << 20;

ArchiveView view_with(std::uint64_t segment_bytes,
                      const std::vector<std::pair<unsigned, std::pair<std::uint64_t, std::uint64_t>>>& runs,
                      const std::vector<std::pair<unsigned, std::uint64_t>>& backups = {}) {
    archive::WalCollector collector;
    for (const auto& [timeline, numbers] : runs) {
        for (auto number = numbers.first; number <= numbers.second; ++number)
            collector.add(pg::segment_name({pg::TimelineId(timeline), number}, segment_bytes) + ".lz4", 100);
    }
    ArchiveView view;
    view.wal = std::move(collector).finish(segment_bytes);
    for (const auto& [timeline, number] : backups) {
        BackupView backup;
        backup.segment = pg::Segment{pg::TimelineId(timeline), number};
        view.backups.push_back(backup);
    }
    return view;
}

} // namespace

TEST_CASE("names that wrap at a log file's end are no gap, whatever the segment size", "[daemon]") {
    for (const auto size : {1 * view_mib, 16 * view_mib, 64 * view_mib, 1024 * view_mib}) {
        const auto around = (std::uint64_t{1} << 32) / size;
        auto view = view_with(size, {{1, {around - 2, around + 2}}});
        judge(view, std::nullopt);
        CHECK(view.missing == 0);
        CHECK(view.continuous == 5);
    }
}

TEST_CASE("a timeline that was left goes on in the next one without a gap", "[daemon]") {
    auto view = view_with(16 * view_mib, {{1, {1, 10}}, {2, {10, 15}}}, {{1, 3}});
    judge(view,
          pg::parse_timeline_history("1\t0/A000100\tno recovery target specified\n", pg::TimelineId(2), "00000002.history"));
    CHECK(view.missing == 0);
    CHECK(view.continuous == 13);
    CHECK(view.valid_backups == 1);
    CHECK(view.useless == 2);
}

TEST_CASE("a backup right behind a gap is valid, one before it is not", "[daemon]") {
    auto view = view_with(16 * view_mib, {{1, {1, 6}}, {1, {8, 20}}}, {{1, 3}, {1, 8}});
    judge(view, std::nullopt);
    CHECK(view.missing == 1);
    CHECK(view.continuous == 13);
    CHECK(view.valid_backups == 1);
}

TEST_CASE("a gap may have any length, and is found at once", "[daemon]") {
    auto view = view_with(16 * view_mib, {{1, {1, 6}}, {1, {0xFF'FFFF'0000, 0xFF'FFFF'0001}}}, {{1, 3}});
    judge(view, std::nullopt);
    CHECK(view.missing == 0xFF'FFFF'0000 - 7);
    CHECK(view.continuous == 2);
    REQUIRE(view.runs.size() == 3);
    CHECK(view.runs[1].segments == archive::SegmentRun{7, 0xFF'FFFE'FFFF});
}

TEST_CASE("gaps end where a timeline was left", "[daemon]") {
    auto view = view_with(16 * view_mib, {{1, {1, 4}}, {1, {7, 7}}, {2, {15, 16}}}, {{1, 3}});
    judge(view,
          pg::parse_timeline_history("1\t0/A000100\tno recovery target specified\n", pg::TimelineId(2), "00000002.history"));
    std::vector<archive::SegmentRun> gaps;
    for (const auto& run : view.runs)
        if (run.state != archive::SegmentState::found) gaps.push_back(run.segments);
    CHECK(gaps == std::vector<archive::SegmentRun>{{5, 6}, {8, 9}, {10, 14}});
}

TEST_CASE("a backup of a branch that was left before it leads nowhere", "[daemon]") {
    // A server was promoted in segment 10; the old one went on, and was backed up.
    auto view = view_with(16 * view_mib, {{1, {1, 14}}, {2, {10, 15}}}, {{1, 12}});
    view.backups[0].finish_lsn = 12 * 16 * view_mib + 100;
    judge(view,
          pg::parse_timeline_history("1\t0/A000100\tno recovery target specified\n", pg::TimelineId(2), "00000002.history"));
    CHECK(view.valid_backups == 0);
    CHECK(view.windows.empty());
}

TEST_CASE("each stretch without a gap that has a backup is a window, and the last one grows", "[daemon]") {
    auto view = view_with(16 * view_mib, {{1, {1, 6}}, {1, {8, 9}}, {1, {11, 20}}}, {{1, 5}, {1, 3}, {1, 12}});
    judge(view, std::nullopt);
    REQUIRE(view.windows.size() == 2);
    CHECK(view.windows[0].segments.first == 3);
    CHECK(view.windows[0].segments.last == 6);
    CHECK_FALSE(view.windows[0].open);
    CHECK(view.windows[1].segments.first == 12);
    CHECK(view.windows[1].open);
    CHECK(note_stored(view, "000000010000000000000015", 100) == Noted::known);
    CHECK(view.windows[1].segments.last == 21);
}

TEST_CASE("what retention left of a week is no gap, and a permanent backup asks for no WAL behind it", "[daemon]") {
    auto view = view_with(16 * view_mib, {{1, {1, 2}}, {1, {10, 11}}, {1, {30, 40}}}, {{1, 1}, {1, 10}, {1, 31}});
    view.backups[0].permanent = true;
    view.backups[1].finish_lsn = 11 * 16 * view_mib + 100;
    judge(view, std::nullopt);
    CHECK(view.missing == 18); // nobody said that it was meant
    view.backups[1].alone = true;
    judge(view, std::nullopt);
    CHECK(view.missing == 0);
    CHECK(view.continuous == 11);
    CHECK(view.valid_backups == 1);
    view.backups[1].finish_lsn = 15 * 16 * view_mib; // its own WAL is not all there
    judge(view, std::nullopt);
    CHECK(view.missing == 18);
}

TEST_CASE("what is stored after the look is counted, and an archive without WAL has nothing to count", "[daemon]") {
    auto view = view_with(16 * view_mib, {{1, {1, 6}}});
    judge(view, std::nullopt);
    CHECK(note_stored(view, "000000010000000000000007", 100) == Noted::known);
    CHECK(note_stored(view, "000000010000000000000009", 100) == Noted::known); // nobody knows yet what is between
    CHECK(view.continuous == 7);
    CHECK(view.newest->number == 7);
    CHECK(note_stored(view, "000000010000000000000008", 100) == Noted::known);
    CHECK(view.continuous == 9); // the one that was there before its turn counts too
    CHECK(view.newest->number == 9);
    CHECK(view.wal.timelines.at(pg::TimelineId(1)).bytes == 900);
    CHECK(note_stored(view, "00000001000000000000000A", 0) == Noted::without_size); // how large it is, another look tells
    CHECK(note_stored(view, "00000001000000000000000A", 0) == Noted::known);        // it is known
    CHECK(note_stored(view, "00000002.history", 10) == Noted::not_known);
    CHECK(note_stored(view, "000000010000000000000002.00000028.backup", 10) == Noted::known);
    ArchiveView empty;
    judge(empty, std::nullopt);
    CHECK(note_stored(empty, "000000010000000000000007", 100) ==
          Noted::not_known); // the first of its timeline: another look is due
    CHECK(empty.continuous == 0);
}
