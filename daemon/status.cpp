#include "daemon/status.hpp"

#include "common/base/time_text.hpp"
#include "daemon/storage_state.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::daemon {

namespace {

std::string protection(WalService& wal) {
    if (wal.conditional_put()) return "conditional put";
    return wal.conditional_put_known() ? "look, then put: the storage ignores If-None-Match"
                                       : "look, then put: whether the storage keeps If-None-Match is not known yet";
}

/// A name in an error may hold bytes that are no UTF-8.
std::string text_of(const nlohmann::ordered_json& json, int indent = -1) {
    return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

nlohmann::ordered_json job_json(const Jobs::Job& job) {
    nlohmann::ordered_json text{{"started", time_or_dash(job.began)},
                                {"running", !job.ended},
                                {"bytes_done", job.progress.bytes_done.load()},
                                {"bytes_total", job.progress.bytes_total.load()},
                                {"stored_bytes", job.progress.stored_bytes.load()}};
    if (job.result) text["name"] = job.result->name;
    if (job.failure) text["error"] = describe(job.failure);
    return text;
}

nlohmann::ordered_json wal_json(const WalService& wal, const LookAhead& look_ahead) {
    const auto& counters = wal.counters();
    return {{"pushed", counters.pushed},
            {"already_there", counters.already_there},
            {"push_failed", counters.push_failed},
            {"in_flight", counters.in_flight},
            {"ready", wal.queue().ready_count()},
            {"backlog", wal.queue().backlog()},
            {"looking_ahead", look_ahead.not_watching().empty() ? "yes" : look_ahead.not_watching()},
            {"stored_ahead", counters.stored_ahead},
            {"answered_at_once", counters.answered_at_once},
            {"ahead_failed", counters.ahead_failed},
            {"ready_renamed", counters.ready_renamed},
            {"level_changes", counters.level_changes},
            {"plain_bytes", counters.plain_bytes},
            {"stored_bytes", counters.stored_bytes},
            {"last_pushed", counters.last_pushed},
            {"last_pushed_at", time_or_dash(counters.last_pushed_at)},
            {"fetched", counters.fetched},
            {"fetch_absent", counters.fetch_absent},
            {"fetch_failed", counters.fetch_failed},
            {"last_error", counters.last_error},
            {"last_error_at", time_or_dash(counters.last_error_at)}};
}

nlohmann::ordered_json clients_json(const ClientCounters& clients) {
    return {{"connections", clients.connections},
            {"connections_max", clients.connections_max},
            {"turned_away", clients.turned_away},
            {"last_error", clients.last_error},
            {"last_error_at", time_or_dash(clients.last_error_at)}};
}

nlohmann::ordered_json prefetch_json(const WalPrefetch& prefetch) {
    return {{"prefetched", prefetch.counters().prefetched},
            {"hits", prefetch.counters().hits},
            {"dropped", prefetch.counters().dropped},
            {"depth", prefetch.depth()},
            {"ahead", prefetch.ahead()},
            {"memory_used", prefetch.memory_used()}};
}

/// One line a value, an object's behind its name and a dot.
std::string lines_of(const nlohmann::ordered_json& values, const std::string& head = {}) {
    std::string lines;
    for (const auto& [key, item] : values.items()) {
        if (item.is_object())
            lines += lines_of(item, key + ".");
        else
            lines += fmt::format("{:<22} {}\n", head + key, item.is_string() ? item.get<std::string>() : text_of(item));
    }
    return lines;
}

} // namespace

std::string status_text(const StatusSources& sources, bool json) {
    auto& archive = sources.archive;
    auto& wal = sources.wal;
    nlohmann::ordered_json status{{"version", WALGD_VERSION},
                                  {"started", time_or_dash(sources.started)},
                                  {"storage", archive.storage.describe()},
                                  {"compression", archive.packing.compression->name()},
                                  {"encryption", archive.packing.cipher == nullptr ? "none" : archive.packing.cipher->name()},
                                  {"storage_state", storage_state_json(archive.health)},
                                  {"overwrite_protection", protection(wal)},
                                  {"memory_used", archive.budget.used()},
                                  {"memory_budget", archive.budget.total()},
                                  {"wal", wal_json(wal, sources.look_ahead)},
                                  {"clients", clients_json(sources.clients)}};
    if (archive.members != nullptr) status["storages"] = storages_json(archive.members);
    status["prefetch"] = prefetch_json(wal.prefetch());
    if (const auto* index = wal.index(); index != nullptr)
        status["commit_index"] = {{"segments_noted", index->counters().noted},
                                  {"objects_written", index->counters().written},
                                  {"failed", index->counters().failed}};
    if (const auto job = sources.jobs.current()) status["backup"] = job_json(*job);
    if (!json) return lines_of(status);
    status["schedule"] = sources.scheduler.lines();
    return text_of(status, 4);
}

} // namespace walgd::daemon
