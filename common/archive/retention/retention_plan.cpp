#include "common/archive/retention/retention_plan.hpp"

#include "common/archive/layout.hpp"
#include "common/archive/retention/leftover_folders.hpp"
#include "common/archive/retention/wal_needs.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::archive {

namespace {

constexpr std::string_view if_nobody_takes_it =
    "If it was interrupted, the next backup-push on its host removes it, and delete garbage when it is a day old";

/// Decides about the backups, then about everything that belongs to them.
class Planner {
public:
    Planner(const Inventory& inventory, const Selection& selection)
        : inventory_(inventory), selection_(selection), graph_(inventory.backups), folders_(inventory),
          needs_(inventory.segment_bytes) {}

    RetentionPlan plan() {
        keep_what_was_not_selected();
        keep_the_last();
        if (!selection_.named) keep_bases_of_what_is_taken();
        keep_bases();
        if (selection_.named && !plan_.departures.empty()) keep_all();
        give_verdicts();
        note_needs();
        remove_sentinels();
        remove_data();
        if (selection_.wal) remove_wal();
        return std::move(plan_);
    }

private:
    bool selected(const HeldBackup& backup) const { return selection_.backups.contains(backup.name); }
    bool stays(const HeldBackup& backup) const { return reasons_.contains(backup.name); }

    void depart(const HeldBackup& backup, const std::string& why) {
        reasons_.emplace(backup.name, why);
        plan_.departures.push_back(fmt::format("{} stays: {}", backup.name, why));
    }

    void keep_what_was_not_selected() {
        for (const auto& backup : inventory_.backups) {
            if (!selected(backup)) {
                const bool snapshot = selection_.snapshots.contains(backup.name);
                reasons_.emplace(backup.name, snapshot ? "kept, without the WAL behind it" : "kept");
                if (!snapshot) recovered_.insert(backup.name);
            } else if (backup.permanent && selection_.named)
                depart(backup, "it is permanent (backup-mark -i takes that away)");
            else if (backup.permanent)
                reasons_.emplace(backup.name, "permanent");
            else if (!backup.permanence_known && !selection_.named)
                depart(backup,
                       "its metadata.json is not there, so nobody knows whether it is permanent (delete target removes it)");
        }
    }

    /// The last one of all, of the present cluster, and the last one from which the newest timeline can be recovered.
    void keep_the_last() {
        if (selection_.last_may_go) return;
        const auto& all = inventory_.backups;
        keep_newest_of([](const HeldBackup&) { return true; }, "it is the last one that can be restored", false);
        keep_newest_of([&](const HeldBackup& backup) { return backup.system == all.back().system; },
                       "it is the last one of its cluster that can be restored", false);
        std::optional<pg::TimelineId> newest;
        for (const auto& object : inventory_.wal_objects) {
            const auto segment = pg::parse_segment(segment_of_wal_object(object.key.path()), inventory_.segment_bytes);
            if (segment && (!newest || *newest < segment->timeline)) newest = segment->timeline;
        }
        if (!newest) return;
        keep_newest_of([&](const HeldBackup& backup) { return may_reach(backup, *newest, inventory_.histories); },
                       fmt::format("it is the last one from which timeline {} can be recovered", newest->number()),
                       selection_.wal && !recovered_.empty());
    }

    /// Keeps the newest sound one of a kind, unless one of them stays anyway; `with_wal`: with the WAL behind it.
    template <class Kind> void keep_newest_of(Kind kind, const std::string& why, bool with_wal) {
        auto fits = [&](const HeldBackup& backup) { return kind(backup) && graph_.defect(backup).empty(); };
        auto does = [&](const HeldBackup& backup) { return with_wal ? recovered_.contains(backup.name) : stays(backup); };
        const auto& all = inventory_.backups;
        if (std::ranges::any_of(all, [&](const HeldBackup& backup) { return does(backup) && fits(backup); })) return;
        const auto last = std::find_if(all.rbegin(), all.rend(), fits);
        if (last == all.rend()) return;
        if (stays(*last))
            plan_.departures.push_back(fmt::format("the WAL behind {} stays: {}", last->name, why));
        else
            depart(*last, why);
        recovered_.insert(last->name);
    }

    /// Without its base a delta would be whole in name alone: WAL-G does not look for it at the end.
    void keep_bases_of_what_is_taken() {
        for (const auto folder : folders_.names()) {
            const auto mark = folder.find(delta_mark);
            if (mark == std::string_view::npos || !may_be_being_taken(folder)) continue;
            const auto first = folder.substr(mark + delta_mark.size());
            for (const auto& backup : inventory_.backups) {
                if (stays(backup) || first_segment_in(backup.name) != first) continue;
                depart(backup, fmt::format("{}{}/ may be a delta on it that is being taken", backup_folder, folder));
            }
        }
    }

    void keep_bases() {
        // The youngest first, so that what is named as the reason is what was asked to stay.
        for (auto backup = inventory_.backups.rbegin(); backup != inventory_.backups.rend(); ++backup) {
            if (!stays(*backup)) continue;
            for (const auto* base : graph_.chain(*backup)) {
                if (!stays(*base)) depart(*base, fmt::format("{}, which stays, is based on it", backup->name));
            }
        }
    }

    void keep_all() {
        for (const auto& backup : inventory_.backups) reasons_.emplace(backup.name, "nothing goes where not all may");
    }

    void give_verdicts() {
        for (const auto& backup : inventory_.backups) {
            const auto reason = reasons_.find(backup.name);
            plan_.backups.push_back({&backup, reason != reasons_.end(), reason == reasons_.end() ? "" : reason->second});
        }
    }

    void note_needs() {
        for (const auto& backup : inventory_.backups) {
            if (!stays(backup)) continue;
            needs_.add(backup);
            if (recovered_.contains(backup.name) && (!cut_ || backup.first < *cut_)) cut_ = backup.first;
        }
        for (const auto& backup : inventory_.backups) {
            if (stays(backup) && (selection_.all_wal || (cut_ && backup.first < *cut_))) plan_.alone.insert(backup.name);
        }
    }

    void remove_sentinels() {
        std::map<std::size_t, std::vector<storage::ObjectKey>, std::greater<>> by_depth;
        for (const auto& backup : inventory_.backups) {
            if (!stays(backup)) by_depth[graph_.chain(backup).size()].push_back(sentinel_key(backup.name));
        }
        for (auto& [depth, keys] : by_depth) plan_.sentinels.push_back(std::move(keys));
    }

    /// A folder without a sentinel that may go.
    bool is_leftover(std::string_view folder) {
        const auto segment = pg::parse_segment(first_segment_in(folder), inventory_.segment_bytes);
        if (!selection_.leftovers || !segment || !valid_backup_name(folder)) return false;
        if (!selection_.younger_leftovers && (!cut_ || !(*segment < *cut_))) return false;
        if (folders_.abandoned(folder)) return true;
        plan_.notes.push_back(fmt::format("{0}{1}/ has no sentinel and is younger than a day: it may be a backup that is being "
                                          "taken, and is left alone. {2}",
                                          backup_folder, folder, if_nobody_takes_it));
        return false;
    }

    void remove_data() {
        for (const auto& object : inventory_.backup_objects) plan_.bytes += is_sentinel_that_goes(object) ? object.bytes : 0;
        std::set<std::string_view> going;
        for (const auto folder : folders_.names()) {
            const auto* backup = graph_.find(folder);
            if (backup != nullptr ? !stays(*backup) : is_leftover(folder)) going.insert(folder);
        }
        for (const auto& object : inventory_.backup_objects) {
            if (!going.contains(backup_of_data_object(object.key.path()))) continue;
            plan_.data.push_back(object.key);
            plan_.bytes += object.bytes;
        }
    }

    bool is_sentinel_that_goes(const HeldObject& object) const {
        const auto name = std::string_view(object.key.path()).substr(backup_folder.size());
        const auto* backup = name.find('/') == std::string_view::npos ? graph_.find(backup_of_sentinel(name)) : nullptr;
        return backup != nullptr && !stays(*backup);
    }

    /// A folder without a sentinel which somebody may be writing into.
    bool may_be_being_taken(std::string_view folder) const {
        return valid_backup_name(folder) && graph_.find(folder) == nullptr && !folders_.abandoned(folder);
    }

    /// The WAL from where a backup begins that may be being taken: it needs what is stored from there on.
    struct BeingTaken {
        pg::Segment from;
        std::string_view folder;
    };
    std::optional<BeingTaken> first_being_taken() const {
        std::optional<BeingTaken> first;
        for (const auto folder : folders_.names()) {
            const auto segment = pg::parse_segment(first_segment_in(folder), inventory_.segment_bytes);
            if (!segment || !may_be_being_taken(folder)) continue;
            // As with WalNeeds: recovery may begin by reading the one before.
            const pg::Segment from{segment->timeline, segment->number - std::min<std::uint64_t>(segment->number, 1)};
            if (!first || from < first->from) first = {from, folder};
        }
        return first;
    }

    void remove_wal() {
        // It may have begun before the oldest one that stays: on another server, or one that takes days.
        const auto being_taken = first_being_taken();
        std::optional<pg::Segment> before;
        bool any_stays = false;
        for (const auto& object : inventory_.wal_objects) {
            const auto name = segment_of_wal_object(object.key.path());
            const auto segment = pg::parse_segment(name, inventory_.segment_bytes);
            const bool older = segment && (selection_.all_wal || (cut_ && *segment < *cut_));
            if (!older || needs_.needs(*segment)) continue;
            if (being_taken && !(*segment < being_taken->from)) {
                any_stays = true;
                continue;
            }
            plan_.wal.push_back(object.key);
            plan_.bytes += object.bytes;
            const bool follows = before && segment->timeline == before->timeline && segment->number <= before->number + 1;
            if (!follows) plan_.wal_ranges.push_back({std::string(name), {}, 0, 0});
            auto& range = plan_.wal_ranges.back();
            range.last = name;
            ++range.objects;
            range.bytes += object.bytes;
            before = segment;
        }
        if (!any_stays) return;
        plan_.notes.push_back(fmt::format("the WAL from {} on stays: {}{}/ may be a backup that is being taken. {}",
                                          pg::segment_name(being_taken->from, inventory_.segment_bytes), backup_folder,
                                          being_taken->folder, if_nobody_takes_it));
    }

    const Inventory& inventory_;
    const Selection& selection_;
    BackupGraph graph_;
    BackupFolders folders_;
    WalNeeds needs_;
    RetentionPlan plan_;
    std::map<std::string, std::string, std::less<>> reasons_; ///< of those that stay
    std::set<std::string> recovered_;                         ///< that stay with the WAL behind them
    std::optional<pg::Segment> cut_;                          ///< of these the first
};

} // namespace

std::size_t RetentionPlan::objects() const {
    auto count = data.size() + wal.size();
    for (const auto& step : sentinels) count += step.size();
    return count;
}

RetentionPlan plan_removal(const Inventory& inventory, const Selection& selection) {
    return Planner(inventory, selection).plan();
}

} // namespace walgd::archive
