#include "common/archive/retention/retention_select.hpp"

#include "common/archive/json_text.hpp"
#include "common/archive/layout.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace walgd::archive {

namespace {

using Backups = std::vector<const HeldBackup*>;

/// Those of the newest one's cluster, oldest first.
Backups of_this_system(const Inventory& inventory) {
    Backups backups;
    for (const auto& backup : inventory.backups) {
        if (backup.system == inventory.backups.back().system) backups.push_back(&backup);
    }
    return backups;
}

void check_not_delta(const HeldBackup& target) {
    if (target.base.empty()) return;
    const auto path = sentinel_key(target.name).path();
    throw Error(ErrorKind::refused,
                fmt::format("{} is incremental and it's predecessors cannot be deleted. Consider FIND_FULL option.",
                            path.substr(backup_folder.size())),
                "with FIND_FULL the full backup before it is taken instead");
}

const HeldBackup* full_at_or_before(const Backups& backups, const HeldBackup* from) {
    const HeldBackup* found = nullptr;
    for (const auto* backup : backups) {
        if (backup->base.empty()) found = backup;
        if (backup == from) break;
    }
    return found;
}

Time time_of(const HeldBackup& backup, bool by_start_time) {
    return by_start_time ? backup.started : std::max(backup.started, backup.modified);
}

const HeldBackup* oldest_since(const Backups& backups, Time time, bool by_start_time, bool full_only) {
    const auto found = std::ranges::find_if(backups, [&](const HeldBackup* backup) {
        return time_of(*backup, by_start_time) >= time && (!full_only || backup->base.empty());
    });
    return found == backups.end() ? nullptr : *found;
}

const HeldBackup* first_called(const Backups& backups, const std::string& name) {
    Backups by_name = backups;
    std::ranges::sort(by_name, {}, &HeldBackup::name);
    const auto found = std::ranges::find_if(by_name, [&](const HeldBackup* backup) { return backup->name.starts_with(name); });
    return found == by_name.end() ? nullptr : *found;
}

/// The oldest backup that `--after` keeps; nullptr where none is so young. A word that says nothing would keep nothing.
const HeldBackup* oldest_after(const Inventory& inventory, const Backups& backups, const RetainRequest& request) {
    const auto time = parse_time(request.after);
    if (time && *time > inventory.taken)
        throw Error(ErrorKind::refused, fmt::format("{} is in the future", request.after), "name a time that has passed");
    if (time) return oldest_since(backups, *time, request.by_start_time, request.modifier != FullModifier::none);
    if (const auto* named = first_called(backups, request.after)) return named;
    throw Error(ErrorKind::refused, fmt::format("--after '{}' is no time, and no backup's name begins so", request.after),
                "a time has its zone, as 2026-11-20T00:00:00Z; walg backup-list shows the names");
}

/// All that is older goes, and what belongs to nobody then.
Choice older_than(const Backups& backups, const HeldBackup* target) {
    Choice choice;
    choice.target = target;
    if (target == nullptr) return choice;
    check_not_delta(*target);
    for (const auto* backup : backups) {
        if (backup == target) break;
        choice.selection.backups.insert(backup->name);
    }
    choice.selection.wal = choice.selection.leftovers = true;
    return choice;
}

const HeldBackup* nth_newest(const Inventory& inventory, const Backups& backups, std::size_t count, bool full_only) {
    const BackupGraph graph(inventory.backups);
    for (auto backup = backups.rbegin(); backup != backups.rend(); ++backup) {
        if ((full_only && !(*backup)->base.empty()) || !graph.defect(**backup).empty()) continue;
        if (--count == 0) return *backup;
    }
    return nullptr;
}

} // namespace

Choice select_retain(const Inventory& inventory, const RetainRequest& request) {
    const auto backups = of_this_system(inventory);
    const bool full_only = request.modifier == FullModifier::full;
    const auto* target = nth_newest(inventory, backups, request.count, full_only);
    const auto* after = request.after.empty() ? nullptr : oldest_after(inventory, backups, request);
    if (target == nullptr) return {};
    if (after != nullptr && after->started < target->started) target = after;
    if (request.modifier == FullModifier::find_full) target = full_at_or_before(backups, target);
    return older_than(backups, target);
}

Choice select_before(const Inventory& inventory, FullModifier modifier, const std::string& name_or_time, bool by_start_time) {
    const auto backups = of_this_system(inventory);
    const auto time = parse_time(name_or_time);
    if (time && *time > inventory.taken)
        throw Error(ErrorKind::refused, fmt::format("{} is in the future", name_or_time), "name a time that has passed");
    const HeldBackup* target = nullptr;
    if (time) {
        target = oldest_since(backups, *time, by_start_time, false);
        if (target == nullptr) return {};
    } else {
        const auto found = std::find_if(backups.rbegin(), backups.rend(),
                                        [&](const HeldBackup* backup) { return backup->name.starts_with(name_or_time); });
        if (found == backups.rend())
            throw Error(ErrorKind::refused, "not found",
                        fmt::format("no backup's name begins with '{}': walg backup-list", name_or_time));
        target = *found;
    }
    if (modifier == FullModifier::find_full) target = full_at_or_before(backups, target);
    return older_than(backups, target);
}

Choice select_target(const Inventory& inventory, FullModifier modifier, const std::string& name) {
    const BackupGraph graph(inventory.backups);
    Choice choice;
    choice.target = graph.find(name);
    if (choice.target == nullptr)
        throw Error(ErrorKind::refused, fmt::format("Backup '{}' does not exist.", name),
                    fmt::format("walg backup-list shows those of {}", inventory.where));
    const auto* root = modifier == FullModifier::find_full ? graph.chain(*choice.target).back() : choice.target;
    for (const auto* backup : graph.dependants(*root)) choice.selection.backups.insert(backup->name);
    choice.selection.named = true;
    return choice;
}

std::string name_by_user_data(const Inventory& inventory, const std::string& user_data) {
    const auto wanted = normalized_user_data(user_data);
    std::vector<std::string> names;
    for (const auto& backup : inventory.backups) {
        if (!backup.user_data.empty() && normalized_user_data(backup.user_data) == wanted) names.push_back(backup.name);
    }
    if (names.size() == 1) return names.front();
    if (names.empty()) throw Error(ErrorKind::refused, "No backups found", fmt::format("none has the user data {}", wanted));
    throw Error(ErrorKind::refused,
                fmt::format("{} backups have the user data {}: {}", names.size(), wanted, fmt::join(names, ", ")),
                "name the one that is meant");
}

Choice select_garbage(const Inventory& inventory, GarbageKind kind, bool without_backup_check) {
    Choice choice;
    for (const auto& backup : inventory.backups) {
        if (choice.target == nullptr && backup.permanent)
            choice.selection.snapshots.insert(backup.name);
        else if (choice.target == nullptr)
            choice.target = &backup;
    }
    if (choice.target == nullptr && !without_backup_check) return {};
    choice.selection.wal = kind != GarbageKind::backups;
    choice.selection.leftovers = kind != GarbageKind::archives;
    choice.selection.all_wal = choice.target == nullptr;
    choice.selection.younger_leftovers = choice.target == nullptr;
    choice.selection.last_may_go = true; // none is selected
    return choice;
}

} // namespace walgd::archive
