#include "daemon/archive_view.hpp"

#include "common/archive/layout.hpp"

#include <algorithm>

namespace walgd::daemon {

namespace {

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

/// Whether recovery from it comes to the newest timeline: it ended before its own was left.
bool leads_on(const BackupView& backup, pg::TimelineId newest, const std::optional<pg::TimelineHistory>& history) {
    if (!backup.segment) return false;
    if (backup.segment->timeline == newest) return true;
    return history && std::ranges::any_of(history->past, [&](const pg::PastTimeline& past) {
               return past.timeline == backup.segment->timeline && past.end.bytes() >= backup.finish_lsn;
           });
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
        return backup.alone && backup.segment && backup.segment->number == run.segments.first &&
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

/// The windows among `runs`: a stretch may go over several timelines.
std::vector<RestoreWindow> windows_of(const ArchiveView& view) {
    std::vector<RestoreWindow> windows;
    std::optional<archive::SegmentRun> stretch;
    auto close = [&](bool open) {
        const BackupView* first = nullptr;
        for (const auto& backup : view.backups) {
            const bool inside =
                stretch && backup.leads_on && backup.segment->number >= stretch->first && backup.segment->number <= stretch->last;
            if (inside && (first == nullptr || backup.segment->number < first->segment->number)) first = &backup;
        }
        if (first != nullptr)
            windows.push_back(
                {first->name, first->finished, first->segment->timeline, {first->segment->number, stretch->last}, open});
        stretch.reset();
    };
    for (const auto& run : view.runs) {
        if (run.state != archive::SegmentState::found)
            close(false);
        else if (stretch)
            stretch->last = run.segments.last;
        else
            stretch = run.segments;
    }
    close(true);
    return windows;
}

} // namespace

void judge(ArchiveView& view, const std::optional<pg::TimelineHistory>& history) {
    view.newest = newest_of(view.wal);
    view.runs.clear();
    view.windows.clear();
    view.missing = view.continuous = view.useless = 0;
    view.valid_backups = 0;
    if (!view.newest) return;
    const auto switches = history ? archive::switch_points(*history, view.wal.segment_bytes) : archive::SwitchPoints();
    for (auto& backup : view.backups) backup.leads_on = leads_on(backup, view.newest->timeline, history);
    const auto first = first_wanted(view);
    const pg::Segment behind{view.newest->timeline, view.newest->number + 1};
    view.runs = archive::check_segments(view.wal, switches, behind, first, {.delayed = 0, .uploading = 0});
    drop_meant_gaps(view);
    view.windows = windows_of(view);
    view.missing = count_in(view.runs, false);
    std::uint64_t since = behind.number;
    for (auto run = view.runs.rbegin(); run != view.runs.rend() && run->state == archive::SegmentState::found; ++run) {
        view.continuous += run->segments.count();
        since = run->segments.first;
    }
    for (const auto& backup : view.backups) view.valid_backups += backup.leads_on && backup.segment->number >= since ? 1 : 0;
    if (view.backups.empty()) return;
    for (const auto& [id, timeline] : view.wal.timelines) {
        for (const auto& run : timeline.runs) {
            if (run.first < first) view.useless += std::min(run.last + 1, first) - run.first;
        }
    }
}

namespace {

/// Segments that follow the newest one without a gap count at once.
void go_on(ArchiveView& view) {
    while (view.wal.has({view.newest->timeline, view.newest->number + 1})) {
        ++view.newest->number;
        if (view.runs.empty() || view.runs.back().timeline != view.newest->timeline ||
            view.runs.back().state != archive::SegmentState::found)
            continue;
        view.runs.back().segments.last = view.newest->number;
        if (!view.windows.empty() && view.windows.back().open) view.windows.back().segments.last = view.newest->number;
        ++view.continuous;
    }
}

} // namespace

Noted note_stored(ArchiveView& view, const std::string& wal_file, std::uint64_t stored_bytes) {
    const auto kind = pg::wal_file_kind(wal_file);
    if (kind == pg::WalFileKind::history) return Noted::not_known;
    const auto place = kind == pg::WalFileKind::segment ? pg::parse_segment(wal_file, view.wal.segment_bytes) : std::nullopt;
    if (!place) return Noted::known;
    const auto timeline = view.wal.timelines.find(place->timeline);
    if (timeline == view.wal.timelines.end()) return Noted::not_known;
    if (timeline->second.has(place->number)) return Noted::known;
    timeline->second.add(place->number, stored_bytes);
    ++view.wal.objects;
    view.wal.bytes += stored_bytes;
    if (place->timeline == view.newest->timeline) go_on(view);
    return stored_bytes != 0 ? Noted::known : Noted::without_size;
}

archive::ArchiveSummary summary_of(const ArchiveView& view, bool backups) {
    archive::ArchiveSummary summary;
    summary.wal.segment_bytes = view.wal.segment_bytes;
    summary.wal.timelines = view.wal.timelines;
    summary.wal.odd.assign(view.wal.odd.begin(), view.wal.odd.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                                            view.wal.odd.size(), archive::odd_named_max)));
    summary.odd_objects = view.wal.odd.size();
    summary.parents = view.parents;
    if (backups) summary.backups = view.details;
    return summary;
}

BackupView view_of(const archive::BackupDetails& details, std::uint64_t segment_bytes) {
    const auto& [entry, metadata, trouble] = details;
    BackupView view;
    view.name = entry.name;
    view.wal_file = entry.wal_file;
    const auto parent = entry.name.find(archive::delta_mark);
    view.delta = parent != std::string::npos;
    if (view.delta) view.origin = entry.name.substr(parent + archive::delta_mark.size());
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

} // namespace walgd::daemon
