#include "client/walg/wal_timelines.hpp"

#include "client/walg/backup_json.hpp"
#include "client/walg/listing.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iostream>
#include <tuple>

namespace walgd::cli {

namespace {

/// One stray name far from all others would make a list that no memory holds.
constexpr std::uint64_t missing_named_max = 10'000'000;

std::string missing(const archive::WalTimeline& timeline, std::uint64_t segment_bytes) {
    std::string names;
    const auto count = timeline.last() - timeline.first() + 1 - timeline.segments;
    if (count > missing_named_max)
        throw Error(ErrorKind::refused,
                    fmt::format("{} segments are missing on timeline {}, too many to name", count, timeline.id.number()),
                    fmt::format("it ends with {}: does that belong here? Without --detailed-json they are counted",
                                pg::segment_name({timeline.id, timeline.last()}, segment_bytes)));
    auto gaps = timeline.gaps();
    std::ranges::reverse(gaps);
    for (const auto& gap : gaps) {
        for (auto number = gap.last + 1; number-- > gap.first;)
            names += fmt::format("{}\"{}\"", names.empty() ? "" : ",", pg::segment_name({timeline.id, number}, segment_bytes));
    }
    return names;
}

std::string timelines_table(const std::vector<ShownTimeline>& timelines, bool with_backups) {
    Row titles{"TLI",         "PARENT TLI",    "SWITCHPOINT LSN", "START SEGMENT",
               "END SEGMENT", "SEGMENT RANGE", "SEGMENTS COUNT",  "STATUS"};
    if (with_backups) titles.push_back("BACKUPS COUNT");
    std::vector<Row> rows;
    for (const auto& timeline : timelines) {
        const auto parent = timeline.parent.value_or(pg::PastTimeline{});
        rows.push_back({std::to_string(timeline.wal->id.number()), std::to_string(parent.timeline.number()), parent.end.text(),
                        timeline.start, timeline.end, std::to_string(timeline.range), std::to_string(timeline.wal->segments),
                        std::string(timeline.status())});
        if (with_backups) rows.back().push_back(std::to_string(timeline.backups.size()));
    }
    return open_table(titles, rows, "rrrllrrlr");
}

std::string timelines_json(const std::vector<ShownTimeline>& timelines, std::uint64_t segment_bytes, bool as_walg) {
    std::string text = "[";
    for (const auto& timeline : timelines) {
        const auto parent = timeline.parent.value_or(pg::PastTimeline{});
        text += fmt::format(
            R"({}{{"id":{},"parent_id":{},"switch_point_lsn":{},"start_segment":"{}","end_segment":"{}","segments_count":{},"missing_segments":[{}])",
            text.size() > 1 ? "," : "", timeline.wal->id.number(), parent.timeline.number(), parent.end.bytes(), timeline.start,
            timeline.end, timeline.wal->segments, missing(*timeline.wal, segment_bytes));
        std::vector<std::string> backups;
        for (const auto* backup : timeline.backups) backups.push_back(backup_json(backup->entry, &backup->metadata));
        if (!backups.empty()) text += fmt::format(R"(,"backups":[{}])", fmt::join(backups, ","));
        text += fmt::format(R"(,"segment_range_size":{},"status":"{}")", timeline.range, timeline.status());
        if (!as_walg) text += fmt::format(R"(,"stored_bytes":{})", timeline.wal->bytes);
        text += "}";
    }
    return text + "]";
}

} // namespace

ShownTimeline shown_timeline(const archive::WalTimeline& timeline, std::uint64_t segment_bytes,
                             std::optional<pg::PastTimeline> parent, const std::vector<archive::BackupDetails>& backups) {
    auto name = [&](std::uint64_t number) { return pg::segment_name({timeline.id, number}, segment_bytes); };
    ShownTimeline shown{.wal = &timeline, .parent = parent};
    shown.start = name(timeline.first());
    shown.end = name(timeline.last());
    shown.range = timeline.last() - timeline.first() + 1;
    for (const auto& backup : backups) {
        const auto first = pg::parse_segment(backup.entry.wal_file, segment_bytes);
        if (!first || first->timeline != timeline.id) continue;
        const auto& [start_lsn, finish_lsn] = std::tie(backup.metadata.start_lsn, backup.metadata.finish_lsn);
        const auto start = start_lsn ? pg::segment_number(*start_lsn, segment_bytes) : first->number;
        const auto end = finish_lsn ? pg::segment_number(*finish_lsn, segment_bytes) : start;
        if (start >= timeline.first() && end <= timeline.last()) shown.backups.push_back(&backup);
    }
    return shown;
}

void print_timelines(const std::vector<ShownTimeline>& timelines, const TimelinePrint& how) {
    if (how.json) {
        std::cout << timelines_json(timelines, how.segment_bytes, how.as_walg) << (how.as_walg ? "" : "\n");
        return;
    }
    const auto table = timelines_table(timelines, how.with_backups);
    std::cout << (how.as_walg ? table : coloured(table));
}

} // namespace walgd::cli
