#pragma once
#include "common/archive/retention/retention_plan.hpp"

#include <chrono>

/// What WAL-G's delete commands mean (walg-format.md, section 10), as a Selection. Backups are ordered by start time, and those
/// of the newest one's system identifier alone are counted and selected.
namespace walgd::archive {

/// WAL-G's FULL and FIND_FULL.
enum class FullModifier { none, full, find_full };

/// What a command selects, and the backup that it was about.
struct Choice {
    const HeldBackup* target = nullptr; ///< nullptr: nothing is to be deleted
    Selection selection;
};

/// `delete retain`.
struct RetainRequest {
    FullModifier modifier = FullModifier::none;
    std::size_t count = 1;
    std::string after{};       ///< a time or the beginning of a name; empty: not given
    bool by_start_time = true; ///< else a backup is as young as its sentinel's modification time, where that is later
};

/// The `count` newest that can be restored stay, and all that is younger than the oldest of them. Error(refused) when that one
/// is a delta.
Choice select_retain(const Inventory& inventory, const RetainRequest& request);
/// What is older than a backup goes, or than the oldest one that is not older than a time. Error(refused) when there is no such
/// backup or it is a delta.
Choice select_before(const Inventory& inventory, FullModifier modifier, const std::string& name_or_time, bool by_start_time);
/// One backup and what is based on it; with find_full all that has the same root.
Choice select_target(const Inventory& inventory, FullModifier modifier, const std::string& name);
/// The one whose user data are these (JSON). Error(refused) when there is none, or several.
std::string name_by_user_data(const Inventory& inventory, const std::string& user_data);

/// `delete garbage`: both, or WAL or backups alone.
enum class GarbageKind { all, archives, backups };
/// WAL before the oldest backup that is not permanent, and folders without a sentinel.
Choice select_garbage(const Inventory& inventory, GarbageKind kind, bool without_backup_check);

} // namespace walgd::archive
