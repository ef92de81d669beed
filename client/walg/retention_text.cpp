#include "client/walg/retention_text.hpp"

#include "client/walg/listing.hpp"
#include "common/archive/json_text.hpp"
#include "common/base/time_text.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::cli {

namespace {

std::string size_text(std::uint64_t bytes) {
    if (bytes >= 10ULL << 30) return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1 << 30));
    return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

std::string seconds_text(Time time) { return time_or_dash(std::chrono::floor<std::chrono::microseconds>(time)); }

std::string json_list(const std::vector<std::string>& texts) {
    std::string list = "[";
    for (const auto& text : texts) list += (list.size() > 1 ? "," : "") + archive::json_string(text);
    return list + "]";
}

} // namespace

std::string plan_text(const archive::Inventory& inventory, const archive::RetentionPlan& plan) {
    std::vector<Row> rows;
    for (const auto& [backup, stays, reason] : plan.backups)
        rows.push_back({backup->name, seconds_text(backup->started), backup->base.empty() ? "full" : "delta",
                        stays ? "stays" : "goes", reason});
    auto text = plain_table({"backup_name", "start_time", "kind", "plan", "reason"}, rows);
    for (const auto& range : plan.wal_ranges)
        text +=
            fmt::format("WAL {} to {} goes: {} objects, {}\n", range.first, range.last, range.objects, size_text(range.bytes));
    for (const auto& note : plan.notes) text += note + "\n";
    for (const auto& departure : plan.departures) text += "NOT AS ASKED: " + departure + "\n";
    return text + fmt::format("{}: {} objects go, {}\n", inventory.where, plan.objects(), size_text(plan.bytes));
}

std::string plan_json(const archive::Inventory& inventory, const archive::RetentionPlan& plan) {
    std::string backups, ranges;
    for (const auto& [backup, stays, reason] : plan.backups)
        backups +=
            fmt::format(R"({}{{"backup_name":{},"start_time":"{}","delta_from":{},"is_permanent":{},"stays":{},"reason":{}}})",
                        backups.empty() ? "" : ",", archive::json_string(backup->name), format_time(backup->started),
                        backup->base.empty() ? "null" : archive::json_string(backup->base), backup->permanent, stays,
                        archive::json_string(reason));
    for (const auto& range : plan.wal_ranges)
        ranges += fmt::format(R"({}{{"first":"{}","last":"{}","objects":{},"bytes":{}}})", ranges.empty() ? "" : ",", range.first,
                              range.last, range.objects, range.bytes);
    return fmt::format(R"({{"storage":{},"backups":[{}],"wal":[{}],"departures":{},"notes":{},"objects":{},"bytes":{}}})",
                       archive::json_string(inventory.where), backups, ranges, json_list(plan.departures), json_list(plan.notes),
                       plan.objects(), plan.bytes);
}

std::string objects_json(const std::string& storage, const std::vector<std::string>& paths) {
    return fmt::format(R"({{"storage":{},"paths":{},"objects":{}}})", archive::json_string(storage), json_list(paths),
                       paths.size());
}

std::vector<std::string> marked_objects(const archive::RetentionPlan& plan) {
    std::vector<std::string> paths;
    auto add = [&paths](const std::vector<storage::ObjectKey>& keys) {
        for (const auto& key : keys) paths.push_back(key.path());
    };
    for (const auto& step : plan.sentinels) add(step);
    add(plan.data);
    add(plan.wal);
    // Folder by folder, those nearer the root first.
    std::ranges::sort(paths, {}, [](const std::string& path) { return std::pair(std::ranges::count(path, '/'), path); });
    return paths;
}

int report_removal(Context& context, const archive::Removal& removal) {
    for (const auto& failure : removal.failures)
        context.log.error("{} was not deleted: {}", failure.key.path(), failure.error.what());
    if (removal.failures.empty()) {
        context.log.info("Objects deleted successfully: count={}", removal.removed);
        tell_what_stays(context);
        return 0;
    }
    throw Error(
        removal.failures.front().error.kind(),
        fmt::format("{} objects were deleted, {} were not, and {} were left alone behind them", removal.removed,
                    removal.failures.size(), removal.planned - removal.removed - removal.failures.size()),
        "what is left is garbage, not a broken backup; when the cause is mended run the same command again, then delete garbage");
}

void tell_what_stays(Context& context) {
    const auto removed = run_blocking(context.io, context.archive().storage.removed_objects(), context.stop);
    if (removed.versions_stay)
        context.log.warn(
            "this bucket keeps versions: the objects are hidden, not gone, and their space is not free until a lifecycle "
            "rule of the bucket removes old versions{}",
            removed.lock.empty() ? "" : fmt::format(" (objects are locked: {})", removed.lock));
}

} // namespace walgd::cli
