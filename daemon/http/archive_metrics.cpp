#include "daemon/http/archive_metrics.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace walgd::daemon {

namespace {

/// WAL-G's exporter.
void add_backups(MetricFamilies& all, const ArchiveView& view, std::chrono::system_clock::time_point now) {
    const auto deltas = std::ranges::count_if(view.backups, &BackupView::delta);
    all.gauge("walg_backups", "Base backups, by kind", number(view.backups.size()) - number(deltas), {{"backup_type", "full"}});
    all.gauge("walg_backups", "", number(deltas), {{"backup_type", "delta"}});
    Time oldest{};
    for (const auto& backup : view.backups)
        if (!backup.permanent && (oldest == Time{} || backup.modified < oldest)) oldest = backup.modified;
    all.gauge("walg_pitr_window_seconds", "Since the oldest base backup that is not permanent; 0: there is none",
              oldest == Time{} ? 0 : std::chrono::duration<double>(now - oldest).count());
    all.gauge("walg_backup_list_duration_seconds", "How long the last listing of base backups took", view.backups_took.count());
}

/// Its exporter's, and the others', for each backup.
void add_each_backup(MetricFamilies& all, const ArchiveView& view) {
    std::set<std::pair<std::string, std::uint64_t>> begun; // a full backup and a delta of a standby may begin at one place
    for (const auto& backup : view.backups) {
        all.gauge("walg_backup_info", "1; what a base backup is", 1,
                  {{"backup_name", backup.name},
                   {"backup_type", backup.delta ? "delta" : "full"},
                   {"wal_file", backup.wal_file},
                   {"pg_version", std::to_string(backup.pg_version)},
                   {"start_lsn", std::to_string(backup.start_lsn)},
                   {"finish_lsn", std::to_string(backup.finish_lsn)},
                   {"is_permanent", backup.permanent ? "true" : "false"},
                   {"delta_origin", backup.origin}});
        if (begun.emplace(backup.wal_file, backup.start_lsn).second)
            all.gauge("walg_basebackup", "When the base backup began, unix time", unix_seconds(backup.started),
                      {{"start_wal_segment", backup.wal_file}, {"start_lsn", std::to_string(backup.start_lsn)}});
    }
    for (const auto& backup : view.backups)
        all.gauge("walg_backup_start_timestamp", "When the base backup began, unix time", unix_seconds(backup.started),
                  {{"backup_name", backup.name}});
    for (const auto& backup : view.backups)
        all.gauge("walg_backup_finish_timestamp", "When the base backup ended, unix time", unix_seconds(backup.finished),
                  {{"backup_name", backup.name}});
    for (const auto& backup : view.backups)
        all.gauge("walg_backup_uncompressed_size_bytes", "Size of the base backup", number(backup.bytes),
                  {{"backup_name", backup.name}});
    for (const auto& backup : view.backups)
        all.gauge("walg_backup_compressed_size_bytes", "Size of the base backup as stored", number(backup.stored_bytes),
                  {{"backup_name", backup.name}});
}

/// The other exporters' names for base backups.
void add_basebackups(MetricFamilies& all, const ArchiveView& view) {
    all.gauge("walg_basebackup_count", "Base backups", number(view.backups.size()));
    all.gauge("walg_valid_basebackup_count", "Base backups since the last gap in the WAL", number(view.valid_backups));
    if (view.backups.empty()) return;
    const auto& newest = view.backups.back();
    const auto seconds = std::chrono::duration<double>(newest.finished - newest.started).count();
    all.gauge("walg_oldest_basebackup", "When the oldest base backup began, unix time",
              unix_seconds(view.backups.front().started));
    all.gauge("walg_newest_basebackup", "When the newest base backup began, unix time", unix_seconds(newest.started));
    all.gauge("walg_last_backup_duration", "Seconds that the newest base backup took", seconds);
    all.gauge("walg_last_basebackup_duration", "Seconds that the newest base backup took", seconds);
    all.gauge("walg_last_basebackup_throughput_bytes", "Stored bytes a second of the newest base backup",
              seconds > 0 ? number(newest.stored_bytes) / seconds : 0);
    all.gauge("walg_last_upload", "When the last one was stored, unix time", unix_seconds(newest.finished),
              {{"type", "basebackup"}});
    if (view.newest && newest.segment)
        all.gauge("walg_xlogs_since_basebackup", "Segments since the newest base backup; -1: on another timeline",
                  view.newest->timeline == newest.segment->timeline ? number(view.newest->number) - number(newest.segment->number)
                                                                    : -1);
}

void add_wal(MetricFamilies& all, const ArchiveView& view) {
    std::uint64_t segments = 0;
    for (const auto& [id, timeline] : view.wal.timelines) segments += timeline.segments;
    const bool whole = view.missing == 0;
    all.gauge("walg_total_remote_wal_count", "WAL segments in the archive", number(segments));
    all.gauge("walg_wal_archive_count", "WAL segments in the archive", number(segments));
    all.gauge("walg_continuous_wal", "WAL segments without a gap, up to the newest one", number(view.continuous));
    all.gauge("walg_continious_wal", "walg_continuous_wal, as older dashboards spell it", number(view.continuous));
    all.gauge("walg_missing_remote_wal_segment", "WAL segments missing between the oldest base backup and the newest segment",
              number(view.missing));
    all.gauge("walg_wal_archive_missing_count", "WAL segments missing between the oldest base backup and the newest segment",
              number(view.missing));
    if (view.lost)
        all.gauge("walg_archive_lost_segments", "WAL segments that PostgreSQL calls archived and the archive lacks",
                  number(*view.lost));
    all.gauge("walg_useless_remote_wal_segment", "WAL segments older than every base backup", number(view.useless));
    all.gauge("walg_s3_diskusage", "Bytes of WAL and base backups in the archive", [&view] {
        double bytes = number(view.wal.bytes);
        for (const auto& backup : view.backups) bytes += number(backup.stored_bytes);
        return bytes;
    }());
    all.gauge("walg_wal_verify_status", "1: OK, 0: FAILURE, 2: WARNING, -1: not known", view.newest ? (whole ? 1 : 0) : -1,
              {{"operation", "integrity"}});
    for (const auto& [id, timeline] : view.wal.timelines) {
        const bool all_found = std::ranges::none_of(view.runs, [which = timeline.id](const auto& run) {
            return run.timeline == which && run.state != archive::SegmentState::found;
        });
        all.gauge("walg_wal_integrity_status",
                  "1: no segment of the timeline is missing; with the label status: of the whole archive", all_found ? 1 : 0,
                  {{"timeline_id", std::to_string(id.number())}, {"timeline_hex", fmt::format("{:08x}", id.number())}});
    }
    if (view.newest) all.gauge("walg_wal_integrity_status", "", 1, {{"status", whole ? "OK" : "FAILURE"}});
    all.gauge("walg_wal_verify_duration_seconds", "How long the last listing of WAL took", view.wal_took.count());
}

void add_windows(MetricFamilies& all, const ArchiveView& view) {
    all.gauge("walgd_restorable_windows", "Stretches of time any moment of which can be restored", number(view.windows.size()));
    const auto* newest = view.windows.empty() ? nullptr : &view.windows.back();
    all.gauge("walgd_restorable_now", "1: the newest of them goes on with what is stored next; 0: a base backup is needed",
              newest != nullptr && newest->open ? 1 : 0);
    if (newest != nullptr && newest->since != Time{})
        all.gauge("walgd_restorable_since_timestamp", "Where the newest of them begins, unix time", unix_seconds(newest->since));
}

} // namespace

const std::string& BackupSeries::text(const ArchiveView& view) {
    if (view.at == at_) return text_;
    MetricFamilies all;
    add_each_backup(all, view);
    text_ = all.text();
    at_ = view.at;
    return text_;
}

void add_archive(MetricFamilies& all, const ArchiveView& view, std::chrono::system_clock::time_point now) {
    all.counter("walg_errors_total", "Looks at the archive that failed", number(view.looks_failed),
                {{"operation", "backup-list"}, {"error_type", "command_failed"}});
    if (view.at == std::chrono::system_clock::time_point{}) return;
    all.gauge("walgd_archive_seconds_since_look", "How long ago the archive was listed",
              std::chrono::duration<double>(now - view.at).count());
    add_backups(all, view, now);
    add_basebackups(all, view);
    add_wal(all, view);
    add_windows(all, view);
}

} // namespace walgd::daemon
