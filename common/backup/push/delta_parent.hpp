#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/backup_chain.hpp"
#include "common/pg/server.hpp"
#include "common/pg/timeline_history.hpp"

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

/// Which backup a new one is a delta of (walg-format.md, 4.3).
namespace walgd::backup {

/// Whether a delta is wanted, and of what.
struct DeltaWish {
    int steps_max = 0;           ///< WALG_DELTA_MAX_STEPS: deltas between two fulls; 0: never
    bool full = false;           ///< --full, and whatever else makes one
    bool on_latest_full = false; ///< WALG_DELTA_ORIGIN=LATEST_FULL
    std::string from_name;       ///< --delta-from-name
    std::string from_user_data;  ///< --delta-from-user-data, JSON
    bool permanent = false;      ///< the new one is
    enum class Source { best, summaries, map, wal, scan };
    Source source = Source::best; ///< what tells the pages that changed; a scan where it cannot
    bool use_maps = false;        ///< WALG_USE_WAL_DELTA: maps are among the best
};

/// The chosen parent with all that it is based on: itself first, the full backup last.
struct DeltaParent {
    std::vector<archive::ChainLink> chain;

    const std::string& name() const { return chain.front().backup; }
    const archive::Sentinel& sentinel() const { return chain.front().sentinel; }
    pg::Lsn start_lsn() const { return *sentinel().start_lsn; }
    /// Which delta since the full backup the new one is, from 1.
    int step = 1;
    archive::DeltaOrigin origin() const;
};

/// A parent, or why there is none.
struct ParentChoice {
    std::optional<DeltaParent> parent; ///< nothing: a full backup
    std::string why_full;              ///< a sentence; empty when nobody asked for a delta
    bool unexpected = false;           ///< a delta was wanted, and something is wrong with what it would be based on
};

/// Chooses by WAL-G's rules, and beyond them proves the parent's chain down to its full backup: one that is gone, unreadable or
/// not what its child was made on makes the new backup a full one. Error(refused) when `from_name` or `from_user_data` names no
/// backup, and when the parent is another system's. A storage that does not answer is an Error, not a full backup.
ParentChoice choose_parent(archive::Archive& archive, const DeltaWish& wish, pg::SystemIdentifier system, std::stop_token stop);

/// Why a backup that starts at `start` cannot be a delta of `parent`: it was taken on a timeline that the server did not pass
/// through, or left before the parent's end; empty if it can. Error(refused) when the parent ends in the server's future on the
/// server's own timeline. `history` is that of the start's timeline.
std::string reason_against(const DeltaParent& parent, const pg::BackupStart& start, const pg::TimelineHistory& history);

/// Sets is_permanent in the metadata.json of each backup of the chain, the full one first, so that a permanent delta stays
/// restorable.
void make_chain_permanent(archive::Archive& archive, const DeltaParent& parent, std::stop_token stop);

} // namespace walgd::backup
