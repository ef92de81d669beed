#include "common/archive/retention/retention_policy.hpp"

#include <algorithm>
#include <functional>

namespace walgd::archive {

namespace {

using Days = std::chrono::sys_days;

/// Weeks begin on Monday.
std::int64_t week_of(Time time) {
    constexpr int monday_shift = 3; // 1970-01-01 was a Thursday
    const auto days = std::chrono::floor<std::chrono::days>(time).time_since_epoch().count() + monday_shift;
    return days >= 0 ? days / 7 : (days - 6) / 7;
}

std::int64_t month_of(Time time) {
    const std::chrono::year_month_day date(std::chrono::floor<std::chrono::days>(time));
    return static_cast<int>(date.year()) * 12 + static_cast<int>(static_cast<unsigned>(date.month()));
}

class PolicySelection {
public:
    PolicySelection(const Inventory& inventory, const RetentionPolicy& policy)
        : inventory_(inventory), policy_(policy), graph_(inventory.backups) {
        for (const auto& backup : inventory.backups) {
            if (backup.system != inventory.backups.back().system) continue;
            candidates_.push_back(&backup);
            if (graph_.defect(backup).empty()) sound_.push_back(&backup);
        }
    }

    Selection select() {
        recover_from_fulls();
        recover_to_any_moment();
        if (policy_.weekly > 0) keep_periods(policy_.weekly, week_of);
        if (policy_.monthly > 0) keep_periods(policy_.monthly, month_of);
        if (policy_.wal > 0) shorten_wal();
        recover_from_one();
        keep_bases();
        Selection selection;
        // Where none can be restored a person has to look first.
        if (sound_.empty()) return selection;
        for (const auto* backup : candidates_) {
            const auto kept = kept_.find(backup);
            if (kept == kept_.end())
                selection.backups.insert(backup->name);
            else if (!kept->second)
                selection.snapshots.insert(backup->name);
        }
        selection.wal = selection.leftovers = selection.younger_leftovers = true;
        return selection;
    }

private:
    void keep_since(const HeldBackup* oldest) {
        for (const auto* backup : candidates_) {
            if (backup->started >= oldest->started) kept_[backup] = true;
        }
    }

    void recover_from_fulls() {
        auto count = policy_.full;
        for (auto backup = sound_.rbegin(); backup != sound_.rend() && count > 0; ++backup) {
            if (!(*backup)->base.empty()) continue;
            if (--count == 0) keep_since(*backup);
            oldest_full_ = *backup;
        }
        // Fewer than wanted are there.
        if (count > 0 && oldest_full_ != nullptr) keep_since(oldest_full_);
    }

    /// The youngest that had ended so many days ago: no moment before its end can be recovered to.
    const HeldBackup* before_days(std::size_t days) const {
        constexpr std::size_t days_max = 100 * 366; // a Time does not reach back for much longer
        const auto since = inventory_.taken - std::chrono::days(std::min(days, days_max));
        const auto found =
            std::find_if(sound_.rbegin(), sound_.rend(), [since](const HeldBackup* one) { return one->finished <= since; });
        return found != sound_.rend() ? *found : sound_.empty() ? nullptr : sound_.front();
    }

    void recover_to_any_moment() {
        const auto* oldest = policy_.days > 0 ? before_days(policy_.days) : nullptr;
        if (oldest != nullptr) keep_since(oldest);
    }

    void keep_periods(std::size_t count, std::int64_t (*period_of)(Time)) {
        std::set<std::int64_t> seen;
        for (auto backup = sound_.rbegin(); backup != sound_.rend(); ++backup) {
            if (!(*backup)->base.empty()) continue;
            const bool newest_of_period = seen.insert(period_of((*backup)->started)).second;
            if (seen.size() > count) return;
            if (newest_of_period) kept_.emplace(*backup, false);
        }
    }

    void shorten_wal() {
        const auto* oldest = before_days(policy_.wal);
        for (auto& [backup, recovers] : kept_) recovers = oldest != nullptr && backup->started >= oldest->started;
    }

    /// Whatever is kept, from the newest backup on any moment can be recovered to.
    void recover_from_one() {
        const bool any = std::ranges::any_of(kept_, [](const auto& one) { return one.second; });
        if (!any && !sound_.empty()) keep_since(sound_.back());
    }

    void keep_bases() {
        const auto kept = kept_;
        for (const auto& [backup, recovers] : kept) {
            for (const auto* base : graph_.chain(*backup)) kept_.emplace(base, false);
        }
    }

    const Inventory& inventory_;
    const RetentionPolicy& policy_;
    BackupGraph graph_;
    std::vector<const HeldBackup*> candidates_, sound_; ///< oldest first
    const HeldBackup* oldest_full_ = nullptr;
    std::map<const HeldBackup*, bool> kept_; ///< true: with the WAL behind it
};

} // namespace

Selection select_by_policy(const Inventory& inventory, const RetentionPolicy& policy) {
    if (!policy.given())
        throw Error(ErrorKind::misconfigured, "no setting says what to keep",
                    "in the settings file, for example: keep: {full: 7, days: 14, weekly: 4, monthly: 6}");
    return PolicySelection(inventory, policy).select();
}

} // namespace walgd::archive
