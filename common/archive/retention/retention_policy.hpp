#pragma once
#include "common/archive/retention/retention_plan.hpp"

namespace walgd::archive {

/// What stays, as the settings keep_full, keep_days, keep_weekly, keep_monthly and keep_wal say it; 0: not given.
struct RetentionPolicy {
    std::size_t full = 0;    ///< so many full backups, and what is younger than the oldest of them
    std::size_t days = 0;    ///< any moment of so many days can be recovered to
    std::size_t weekly = 0;  ///< the newest full backup of each of so many weeks that have one
    std::size_t monthly = 0; ///< the same of months
    std::size_t wal = 0;     ///< days of WAL to recover by; not given: as far as `full` and `days` reach

    bool given() const { return full + days + weekly + monthly > 0; }
};

/// What the policy lets go. Only backups that can be restored count; those of another cluster than the newest one's stay.
/// Error(misconfigured) when the policy keeps nothing.
Selection select_by_policy(const Inventory& inventory, const RetentionPolicy& policy);

} // namespace walgd::archive
