#pragma once
#include "common/archive/retention/backup_graph.hpp"

#include <set>

namespace walgd::archive {

/// What is to go, as somebody asked for it. What the backups that stay need is kept in any case.
struct Selection {
    std::set<std::string> backups;   ///< to go
    std::set<std::string> snapshots; ///< that stay, with the WAL of their own alone
    bool wal = false;                ///< the WAL before the oldest backup that stays for recovery
    bool leftovers = false;          ///< folders without a sentinel, where their name is older than that WAL
    bool younger_leftovers = false;  ///< those of any name
    bool all_wal = false;            ///< also where no backup stays for recovery
    bool named = false;              ///< each was named by a person: also what lacks its metadata; all of them go, or none
    bool last_may_go = false;        ///< the last backup that can be restored too
};

/// What becomes of one backup.
struct Verdict {
    const HeldBackup* backup;
    bool stays;
    std::string reason; ///< of staying
};

/// A run of segments that follow each other.
struct WalRange {
    std::string first, last;
    std::size_t objects = 0;
    std::uint64_t bytes = 0;
};

/// What goes and what stays, with all that follows from it; nothing is removed yet.
struct RetentionPlan {
    std::vector<Verdict> backups; ///< by start time
    /// What was to go and stays all the same, with its reason: the command is not done as it was given.
    std::vector<std::string> departures;
    std::vector<std::string> notes;
    /// In the order of removal: of each step all are gone before the next one begins.
    std::vector<std::vector<storage::ObjectKey>> sentinels; ///< what is based on others first
    std::vector<storage::ObjectKey> data, wal;
    std::vector<WalRange> wal_ranges;
    std::set<std::string> alone; ///< backups that stay, and of the WAL that of their own alone
    std::uint64_t bytes = 0;

    std::size_t objects() const;
};

/// What is selected goes, but for what a kept backup or its recovery needs. A pure function.
RetentionPlan plan_removal(const Inventory& inventory, const Selection& selection);

} // namespace walgd::archive
