#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/object_copy.hpp"

namespace walgd::archive {

/// What `copy` takes along.
struct CopyWish {
    std::string backup;        ///< a name, or LATEST; empty: everything
    bool with_history = false; ///< all WAL from the backup on, not only what makes it consistent
};

/// The objects of a copy in three steps. One is begun when the one before is done: at every moment each backup that exists at the
/// target is whole.
struct CopyPlan {
    std::vector<storage::ObjectInfo> payload;   ///< WAL and parts
    std::vector<storage::ObjectInfo> documents; ///< files_metadata.json, metadata.json
    std::vector<storage::ObjectInfo> sentinels; ///< the newest last, parents before their children
};

/// Error(refused) when a backup of the chain, or WAL that it needs, is missing. `segment_bytes` as for list_wal().
awaitable<CopyPlan> plan_copy(Archive& from, CopyWish wish, std::uint64_t segment_bytes, unsigned at_once);

/// Carries it out; what is at the target already with the same size is passed over, and so is, with any size, what changes while
/// a backup lives (its mark, its journal) and what is walgd's alone. Not for the I/O thread.
Copied run_copy(const CopyRoute& route, const CopyPlan& plan);

} // namespace walgd::archive
