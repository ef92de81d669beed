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

} // namespace

std::string status_text(const StatusSources& sources, bool json) {
    const auto& [archive, wal, look_ahead, jobs, clients, started, scheduler, archive_watch, certificate_end] = sources;
    const auto& counters = wal.counters();
    nlohmann::ordered_json status{{"version", WALGD_VERSION},
                                  {"started", time_or_dash(started)},
                                  {"storage", archive.storage.describe()},
                                  {"compression", archive.packing.compression->name()},
                                  {"encryption", archive.packing.cipher == nullptr ? "none" : archive.packing.cipher->name()},
                                  {"storage_state", storage_state_json(archive.health)},
                                  {"overwrite_protection", protection(wal)},
                                  {"memory_used", archive.budget.used()},
                                  {"memory_budget", archive.budget.total()},
                                  {"wal",
                                   {{"pushed", counters.pushed},
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
                                    {"last_error_at", time_or_dash(counters.last_error_at)}}},
                                  {"clients",
                                   {{"connections", clients.connections},
                                    {"connections_max", clients.connections_max},
                                    {"turned_away", clients.turned_away},
                                    {"last_error", clients.last_error},
                                    {"last_error_at", time_or_dash(clients.last_error_at)}}}};
    if (archive.members != nullptr) status["storages"] = storages_json(archive.members);
    const auto& prefetch = wal.prefetch();
    status["prefetch"] = {{"prefetched", prefetch.counters().prefetched},
                          {"hits", prefetch.counters().hits},
                          {"dropped", prefetch.counters().dropped},
                          {"depth", prefetch.depth()},
                          {"ahead", prefetch.ahead()},
                          {"memory_used", prefetch.memory_used()}};
    if (const auto* index = wal.index(); index != nullptr)
        status["commit_index"] = {{"segments_noted", index->counters().noted},
                                  {"objects_written", index->counters().written},
                                  {"failed", index->counters().failed}};
    if (jobs.current()) status["backup"] = job_json(*jobs.current());
    if (json) {
        status["schedule"] = scheduler.lines();
        return text_of(status, 4);
    }
    std::string text;
    auto add = [&text](auto& self, const nlohmann::ordered_json& value, const std::string& head) -> void {
        for (const auto& [key, item] : value.items()) {
            if (item.is_object())
                self(self, item, key + ".");
            else
                text += fmt::format("{:<22} {}\n", head + key, item.is_string() ? item.get<std::string>() : text_of(item));
        }
    };
    add(add, status, "");
    return text;
}

} // namespace walgd::daemon
