#include "daemon/http/metrics.hpp"

#include "daemon/health.hpp"
#include "daemon/http/metric_families.hpp"

#include <fstream>
#include <sys/resource.h>
#include <unistd.h>

namespace walgd::daemon {

namespace {

using Time = std::chrono::system_clock::time_point;

double seconds_since(Time time, Time now) { return time == Time{} ? -1 : std::chrono::duration<double>(now - time).count(); }

void add_process(MetricFamilies& all, Time started) {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) { return number(time.tv_sec) + number(time.tv_usec) / 1e6; };
    long pages_total = 0, pages_resident = 0;
    std::ifstream("/proc/self/statm") >> pages_total >> pages_resident;
    all.gauge("process_start_time_seconds", "When walgd started, unix time", unix_seconds(started));
    all.counter("process_cpu_seconds_total", "CPU time, user and system", seconds(usage.ru_utime) + seconds(usage.ru_stime));
    all.gauge("process_resident_memory_bytes", "Resident memory", number(pages_resident * ::sysconf(_SC_PAGESIZE)));
}

void add_requests(MetricFamilies& all, const WalCounters& wal) {
    const std::string pushes = "walgd_wal_pushes_total", pushes_help = "Requests of archive_command, by how they ended";
    all.counter(pushes, pushes_help, number(wal.pushed), {{"result", "stored"}});
    all.counter(pushes, pushes_help, number(wal.already_there), {{"result", "already_there"}});
    all.counter(pushes, pushes_help, number(wal.push_failed), {{"result", "failed"}});
    all.counter("walgd_wal_stored_ahead_total", "WAL files stored before PostgreSQL asked", number(wal.stored_ahead));
    all.counter("walgd_wal_ahead_failed_total", "WAL files that could not be stored ahead", number(wal.ahead_failed));
    all.counter("walgd_wal_answered_at_once_total", "Requests for what was stored ahead", number(wal.answered_at_once));
    const std::string fetches = "walgd_wal_fetches_total", fetches_help = "Requests of restore_command, by how they ended";
    all.counter(fetches, fetches_help, number(wal.fetched), {{"result", "fetched"}});
    all.counter(fetches, fetches_help, number(wal.fetch_absent), {{"result", "absent"}});
    all.counter(fetches, fetches_help, number(wal.fetch_failed), {{"result", "failed"}});
    const std::string bytes = "walgd_wal_bytes_total",
                      bytes_help = "Bytes of WAL: as PostgreSQL wrote it, as it was stored, as it was fetched";
    all.counter(bytes, bytes_help, number(wal.plain_bytes), {{"of", "plain"}});
    all.counter(bytes, bytes_help, number(wal.stored_bytes), {{"of", "stored"}});
    all.counter(bytes, bytes_help, number(wal.fetched_bytes), {{"of", "fetched"}});
}

void add_latencies(MetricFamilies& all, const WalCounters& wal) {
    all.histogram("walgd_wal_push_seconds", "From a request of archive_command to its answer", wal.push);
    all.histogram("walgd_wal_fetch_seconds", "From a request of restore_command to its answer", wal.fetch);
    const std::string stage = "walgd_wal_stage_seconds",
                      stage_help = "What storing a WAL file takes: until there is a place, packing it, putting it";
    all.histogram(stage, stage_help, wal.waiting, {{"stage", "wait"}});
    all.histogram(stage, stage_help, wal.packing, {{"stage", "pack"}});
    all.histogram(stage, stage_help, wal.putting, {{"stage", "put"}});
}

void add_state(MetricFamilies& all, const WalService& service, Time now) {
    const auto& wal = service.counters();
    all.gauge("walgd_wal_in_flight", "Requests under way", wal.in_flight);
    all.gauge("walgd_wal_waiting", "Requests that wait for a place", number(service.waiting()));
    all.gauge("walgd_wal_last_stored_timestamp", "When the last WAL file was stored, unix time; 0: none since the start",
              unix_seconds(wal.last_pushed_at));
    all.gauge("walgd_wal_seconds_since_last_stored", "How long ago the last WAL file was stored; -1: none since the start",
              seconds_since(wal.last_pushed_at, now));
    for (const auto* type : {"wal", "xlog"}) {
        if (wal.last_pushed_at != Time{})
            all.gauge("walg_last_upload", "When the last one was stored, unix time", unix_seconds(wal.last_pushed_at),
                      {{"type", type}});
    }
}

void add_backlog(MetricFamilies& all, const StatusSources& sources) {
    const auto& queue = sources.wal.queue();
    const bool watching = sources.look_ahead.not_watching().empty();
    all.gauge("walgd_wal_watching_archive_status", "1: PostgreSQL's archive_status is followed", watching ? 1 : 0);
    if (watching) {
        // What cannot be seen is left out: 0 would say that nothing waits.
        all.gauge("walgd_wal_backlog", "WAL files that are .ready and not stored", number(queue.backlog()));
        all.gauge("walgd_wal_ready", "WAL files that are .ready", number(queue.ready_count()));
        all.gauge("walg_missing_remote_wal_segment_at_end", "WAL segments that PostgreSQL has not archived (.ready)",
                  number(queue.ready_segments()));
    }
}

void add_prefetch(MetricFamilies& all, const PrefetchCounters& prefetch) {
    all.counter("walgd_prefetched_total", "WAL segments fetched ahead of PostgreSQL", number(prefetch.prefetched));
    all.counter("walgd_prefetch_hits_total", "Requests answered by one of these", number(prefetch.hits));
    all.counter("walgd_prefetch_dropped_total", "Prefetched and not asked for", number(prefetch.dropped));
}

void add_wal(MetricFamilies& all, const StatusSources& sources, Time now) {
    add_requests(all, sources.wal.counters());
    add_latencies(all, sources.wal.counters());
    add_state(all, sources.wal, now);
    add_backlog(all, sources);
    add_prefetch(all, sources.wal.prefetch().counters());
}

void add_storages(MetricFamilies& all, const storage::Aliveness& members) {
    for (std::size_t index = 0; index < members.states().size(); ++index) {
        const auto& state = members.states()[index];
        const std::string alive = "walgd_storage_alive", alive_help = "Of several storages: 1 for each that can be worked with";
        all.gauge(alive, alive_help, state.reads ? 1 : 0, {{"storage", state.name}, {"use", "read"}});
        all.gauge(alive, alive_help, state.writes ? 1 : 0, {{"storage", state.name}, {"use", "write"}});
        all.gauge("walgd_storage_in_use", "Of several storages: 1 for the one that new objects go to",
                  index == members.home() ? 1 : 0, {{"storage", state.name}});
    }
    all.counter("walgd_storage_switches_total", "How often another storage became the one that new objects go to",
                number(members.switches()));
}

void add_storage(MetricFamilies& all, const archive::Archive& archive) {
    if (archive.health != nullptr) {
        const auto& report = archive.health->report();
        all.gauge("walgd_storage_state", "1 for the state that holds", 1, {{"state", std::string(name_of(report.state))}});
        all.gauge("walg_storage_up", "1: the storage answers", report.state == storage::StorageHealth::State::failing ? 0 : 1);
        all.gauge("walgd_storage_failures_in_row", "Failures since the last answer", number(report.row));
    }
    if (archive.members != nullptr) add_storages(all, *archive.members);
    if (archive.meter == nullptr) return;
    for (const auto& [verb, requests] : archive.meter->verbs()) {
        all.histogram("walgd_storage_request_seconds", "Requests to the storage that were answered, each attempt",
                      requests.latency, {{"verb", verb}});
        for (const auto& [kind, count] : requests.failures)
            all.counter("walgd_storage_failures_total", "Requests to the storage that failed, each attempt, by cause",
                        number(count), {{"verb", verb}, {"cause", std::string(name_of(kind))}});
    }
}

void add_backup_job(MetricFamilies& all, const Jobs& jobs, Time now) {
    const auto job = jobs.current();
    all.gauge("walgd_backup_running", "1: a base backup is being taken", jobs.running() ? 1 : 0);
    if (!job) return;
    all.gauge("walgd_backup_bytes_done", "Of the base backup that runs, or the last one",
              number(job->progress.bytes_done.load()));
    all.gauge("walgd_backup_bytes_total", "Of the base backup that runs, or the last one",
              number(job->progress.bytes_total.load()));
    all.gauge("walgd_backup_seconds_since_start", "Since it began", seconds_since(job->began, now));
    all.gauge("walgd_backup_failed", "1: the last base backup failed", job->ended && job->failure ? 1 : 0);
}

void add_tasks(MetricFamilies& all, const Scheduler& scheduler) {
    for (const auto& [task, record] : scheduler.records()) {
        if (!record.ran()) continue;
        const std::string what(name_of(task));
        all.gauge("walgd_task_last_run_timestamp", "When a task of the schedule ended last, unix time",
                  unix_seconds(record.ended), {{"task", what}});
        all.gauge("walgd_task_last_ok", "1: it went well", record.failures == 0 ? 1 : 0, {{"task", what}});
    }
}

void add_expiries(MetricFamilies& all, const StatusSources& sources) {
    const auto certificate = [&all](const std::string& of, Time end) {
        all.gauge("walgd_certificate_expiry_timestamp",
                  "When a certificate ends, unix time: of a storage's server as it showed it last, or http_tls_cert",
                  unix_seconds(end), {{"of", of}});
    };
    for (const auto& expiry : sources.archive.storage.expiries()) {
        if (expiry.of == storage::Expiry::Of::certificate)
            certificate(expiry.name, expiry.at);
        else
            all.gauge("walgd_credentials_expiry_timestamp",
                      "When the storage's credentials in use end, unix time; new ones are asked for five minutes before",
                      unix_seconds(expiry.at), {{"source", expiry.name}});
    }
    if (sources.http_certificate_end) certificate("http_tls_cert", *sources.http_certificate_end);
}

} // namespace

std::string metrics_text(const StatusSources& sources, BackupSeries& backups) {
    const auto now = std::chrono::system_clock::now();
    MetricFamilies all;
    all.gauge("walgd_info", "1; what runs", 1, {{"version", WALGD_VERSION}, {"storage", sources.archive.storage.describe()}});
    const auto reasons =
        sources.archive.health == nullptr
            ? std::vector<std::string>()
            : not_ready_because(sources.archive.health->report(), sources.wal.counters(), std::chrono::steady_clock::now());
    all.gauge("walgd_ready", "1: /readyz says ok", reasons.empty() ? 1 : 0);
    add_process(all, sources.started);
    add_wal(all, sources, now);
    add_storage(all, sources.archive);
    all.gauge("walgd_memory_budget_bytes", "memory_budget", number(sources.archive.budget.total()));
    all.gauge("walgd_memory_budget_used_bytes", "Of memory_budget", number(sources.archive.budget.used()));
    add_backup_job(all, sources.jobs, now);
    add_tasks(all, sources.scheduler);
    add_expiries(all, sources);
    all.gauge("walgd_connections", "Connections to the sockets", number(sources.clients.connections));
    all.counter("walgd_connections_turned_away_total", "Connections closed to make room for others",
                number(sources.clients.turned_away));
    add_archive(all, sources.archive_watch.view(), now);
    return all.text() + backups.text(sources.archive_watch.view());
}

} // namespace walgd::daemon
