#pragma once
#include "common/archive/retention/retention_plan.hpp"

#include <functional>

namespace walgd::archive {

/// What came of removing.
struct Removal {
    std::size_t removed = 0;                      ///< objects, by what the storage said
    std::vector<storage::RemoveFailure> failures; ///< after the first step that has any nothing more is removed
    std::size_t planned = 0;
};

/// Removes what the plan names, step by step: sentinels, those of deltas before their bases', then the backups' other objects,
/// then WAL, and the journals of what is gone. Killed in the middle it leaves garbage, never a backup that lacks something.
/// Error(refused) when backups came or went since `inventory` was taken, or one that was to go was made permanent.
awaitable<Removal> remove_planned(storage::Storage& storage, const Inventory& inventory, RetentionPlan plan);

/// Removes the objects in batches, in their order; stops behind the first batch that has a failure.
awaitable<void> remove_in_batches(storage::Storage& storage, std::vector<storage::ObjectKey> keys, Removal& removal);

/// Everything of WAL-G's and walgd's under the prefix, sentinels first; `foreign` is told of what is neither.
awaitable<std::vector<std::vector<storage::ObjectKey>>> list_everything(storage::Storage& storage,
                                                                        std::vector<storage::ObjectKey>& foreign);

} // namespace walgd::archive
