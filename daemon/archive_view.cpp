#include "daemon/archive_view.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace walgd::daemon {

namespace {

using Json = nlohmann::ordered_json;

std::uint64_t count_in(const std::vector<archive::CheckedRun>& runs, bool found) {
    std::uint64_t count = 0;
    for (const auto& run : runs) {
        if ((run.state == archive::SegmentState::found) == found) count += run.segments.count();
    }
    return count;
}

/// The highest segment of the highest timeline that has any.
std::optional<pg::Segment> newest_of(const archive::WalCatalogue& wal) {
    if (wal.timelines.empty()) return std::nullopt;
    const auto& [id, timeline] = *wal.timelines.rbegin();
    return pg::Segment{id, timeline.last()};
}

std::uint64_t first_wanted(const ArchiveView& view) {
    std::optional<std::uint64_t> first;
    // As WAL-G's wal-verify: a permanent backup is there for its own moment.
    for (const auto& backup : view.backups) {
        if (backup.segment && !backup.permanent) first = std::min(first.value_or(backup.segment->number), backup.segment->number);
    }
    if (first) return *first;
    std::uint64_t oldest = view.newest->number;
    for (const auto& [id, timeline] : view.wal.timelines) oldest = std::min(oldest, timeline.first());
    return oldest;
}

/// A backup with the WAL of its own and no more, and a later one behind the gap that follows: what retention leaves of a week or
/// a month.
bool is_snapshot(const archive::CheckedRun& run, const archive::CheckedRun& gap, const ArchiveView& view) {
    if (run.state != archive::SegmentState::found) return false;
    const auto alone = std::ranges::any_of(view.backups, [&](const BackupView& backup) {
        return backup.segment && backup.segment->number == run.segments.first &&
               pg::segment_number(pg::Lsn(backup.finish_lsn), view.wal.segment_bytes) == run.segments.last;
    });
    return alone && std::ranges::any_of(view.backups, [&](const BackupView& backup) {
               return backup.segment && backup.segment->number > gap.segments.last;
           });
}

/// Gaps behind snapshots are meant: what is before such a gap needs nothing after it.
void drop_meant_gaps(ArchiveView& view) {
    std::vector<archive::CheckedRun> kept;
    for (const auto& run : view.runs) {
        if (run.state != archive::SegmentState::found && !kept.empty() && is_snapshot(kept.back(), run, view))
            kept.pop_back();
        else
            kept.push_back(run);
    }
    view.runs = std::move(kept);
}

} // namespace

void judge(ArchiveView& view, const std::optional<pg::TimelineHistory>& history) {
    view.newest = newest_of(view.wal);
    view.runs.clear();
    view.missing = view.continuous = view.useless = 0;
    view.valid_backups = 0;
    if (!view.newest) return;
    const auto switches = history ? archive::switch_points(*history, view.wal.segment_bytes) : archive::SwitchPoints();
    const auto first = first_wanted(view);
    const pg::Segment behind{view.newest->timeline, view.newest->number + 1};
    view.runs = archive::check_segments(view.wal, switches, behind, first, {.delayed = 0, .uploading = 0});
    drop_meant_gaps(view);
    view.missing = count_in(view.runs, false);
    std::uint64_t since = behind.number;
    for (auto run = view.runs.rbegin(); run != view.runs.rend() && run->state == archive::SegmentState::found; ++run) {
        view.continuous += run->segments.count();
        since = run->segments.first;
    }
    for (const auto& backup : view.backups) view.valid_backups += backup.segment && backup.segment->number >= since ? 1 : 0;
    if (view.backups.empty()) return;
    for (const auto& [id, timeline] : view.wal.timelines) {
        for (const auto& run : timeline.runs) {
            if (run.first < first) view.useless += std::min(run.last + 1, first) - run.first;
        }
    }
}

void note_stored(ArchiveView& view, const std::string& segment) {
    const auto place = pg::wal_file_kind(segment) == pg::WalFileKind::segment ? pg::parse_segment(segment, view.wal.segment_bytes)
                                                                              : std::nullopt;
    // Before the first look there is nothing to add to; one that fills a gap, or begins a timeline, is found by the next look.
    if (!place || !view.newest || place->timeline != view.newest->timeline || place->number != view.newest->number + 1) return;
    auto& timeline = view.wal.timelines.at(place->timeline);
    timeline.runs.back().last = place->number;
    ++timeline.segments;
    view.newest = place;
    if (view.runs.empty() || view.runs.back().timeline != place->timeline ||
        view.runs.back().state != archive::SegmentState::found)
        return;
    view.runs.back().segments.last = place->number;
    ++view.continuous;
}

BackupView view_of(const archive::BackupDetails& details, std::uint64_t segment_bytes) {
    const auto& [entry, metadata, trouble] = details;
    BackupView view;
    view.name = entry.name;
    view.wal_file = entry.wal_file;
    const auto parent = entry.name.find("_D_");
    view.delta = parent != std::string::npos;
    if (view.delta) view.origin = entry.name.substr(parent + 3);
    view.permanent = metadata.is_permanent;
    view.pg_version = metadata.pg_version;
    view.start_lsn = metadata.start_lsn ? metadata.start_lsn->bytes() : 0;
    view.finish_lsn = metadata.finish_lsn ? metadata.finish_lsn->bytes() : 0;
    view.started = metadata.start_time;
    view.finished = metadata.finish_time;
    view.modified = entry.modified;
    view.bytes = metadata.uncompressed_bytes;
    view.stored_bytes = metadata.compressed_bytes;
    view.segment = pg::parse_segment(entry.wal_file, segment_bytes);
    return view;
}

Json archive_json(const ArchiveView& view) {
    constexpr std::size_t backups_max = 200, ranges_max = 200; // the newest; a page shows no more
    auto backups = Json::array();
    const auto skipped = view.backups.size() > backups_max ? view.backups.size() - backups_max : 0;
    for (auto backup = view.backups.begin() + static_cast<std::ptrdiff_t>(skipped); backup != view.backups.end(); ++backup) {
        backups.push_back({{"name", backup->name},
                           {"delta", backup->delta},
                           {"permanent", backup->permanent},
                           {"started", backup->started == Time{} ? "" : format_time(backup->started)},
                           {"finish", backup->finished == Time{} ? "" : format_time(backup->finished)},
                           {"bytes", backup->bytes},
                           {"stored_bytes", backup->stored_bytes},
                           {"timeline", backup->segment ? backup->segment->timeline.number() : 0},
                           {"segment", backup->segment ? backup->segment->number : 0}});
    }
    auto ranges = Json::array();
    std::uint64_t segments = 0;
    for (const auto& [id, timeline] : view.wal.timelines) {
        segments += timeline.segments;
        for (const auto& run : timeline.runs) {
            if (ranges.size() == ranges_max) break;
            ranges.push_back({{"timeline", id.number()},
                              {"from", run.first},
                              {"to", run.last},
                              {"first", pg::segment_name({id, run.first}, view.wal.segment_bytes)},
                              {"last", pg::segment_name({id, run.last}, view.wal.segment_bytes)}});
        }
    }
    return {{"at", view.at == std::chrono::system_clock::time_point{} ? "" : time_or_dash(view.at)},
            {"trouble", view.trouble},
            {"backup_count", view.backups.size()},
            {"backups", std::move(backups)},
            {"segments", segments},
            {"missing", view.missing},
            {"continuous", view.continuous},
            {"valid_backups", view.valid_backups},
            {"ranges", std::move(ranges)}};
}

} // namespace walgd::daemon
