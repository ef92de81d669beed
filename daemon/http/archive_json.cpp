#include "daemon/http/archive_json.hpp"

#include "common/base/time_text.hpp"

#include <nlohmann/json.hpp>

namespace walgd::daemon {

namespace {

using Json = nlohmann::ordered_json;

/// Of backups, ranges and gaps: a page shows no more.
constexpr std::size_t shown_max = 200;

Json backups_json(const ArchiveView& view) {
    auto backups = Json::array();
    const auto skipped = view.backups.size() > shown_max ? view.backups.size() - shown_max : 0;
    for (auto backup = view.backups.begin() + static_cast<std::ptrdiff_t>(skipped); backup != view.backups.end(); ++backup) {
        const auto parent = pg::parse_segment(backup->origin, view.wal.segment_bytes);
        backups.push_back({{"name", backup->name},
                           {"delta", backup->delta},
                           {"permanent", backup->permanent},
                           {"started", backup->started == Time{} ? "" : format_time(backup->started)},
                           {"finish", backup->finished == Time{} ? "" : format_time(backup->finished)},
                           {"bytes", backup->bytes},
                           {"stored_bytes", backup->stored_bytes},
                           {"timeline", backup->segment ? backup->segment->timeline.number() : 0},
                           {"segment", backup->segment ? backup->segment->number : 0},
                           {"parent_segment", parent ? Json(parent->number) : Json()}});
    }
    return backups;
}

Json run_json(const archive::SegmentRun& run, pg::TimelineId timeline, std::uint64_t segment_bytes) {
    return {{"timeline", timeline.number()},
            {"from", run.first},
            {"to", run.last},
            {"first", pg::segment_name({timeline, run.first}, segment_bytes)},
            {"last", pg::segment_name({timeline, run.last}, segment_bytes)}};
}

Json ranges_json(const ArchiveView& view) {
    auto ranges = Json::array();
    for (const auto& [id, timeline] : view.wal.timelines) {
        for (const auto& run : timeline.runs) {
            if (ranges.size() < shown_max) ranges.push_back(run_json(run, id, view.wal.segment_bytes));
        }
    }
    return ranges;
}

Json gaps_json(const ArchiveView& view) {
    auto gaps = Json::array();
    for (const auto& run : view.runs) {
        if (run.state != archive::SegmentState::found && gaps.size() < shown_max)
            gaps.push_back(run_json(run.segments, run.timeline, view.wal.segment_bytes));
    }
    return gaps;
}

Json windows_json(const ArchiveView& view) {
    auto windows = Json::array();
    for (const auto& window : view.windows) {
        auto text = run_json(window.segments, window.timeline, view.wal.segment_bytes);
        text["backup"] = window.backup;
        text["since"] = window.since == Time{} ? "" : format_time(window.since);
        text["open"] = window.open;
        windows.push_back(std::move(text));
    }
    return windows;
}

} // namespace

Json archive_json(const ArchiveView& view) {
    std::uint64_t segments = 0;
    for (const auto& [id, timeline] : view.wal.timelines) segments += timeline.segments;
    return {{"at", view.at == std::chrono::system_clock::time_point{} ? "" : time_or_dash(view.at)},
            {"trouble", view.trouble},
            {"backup_count", view.backups.size()},
            {"backups", backups_json(view)},
            {"segments", segments},
            {"missing", view.missing},
            {"continuous", view.continuous},
            {"valid_backups", view.valid_backups},
            {"ranges", ranges_json(view)},
            {"gaps", gaps_json(view)},
            {"windows", windows_json(view)}};
}

} // namespace walgd::daemon
