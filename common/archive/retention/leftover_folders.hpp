#pragma once
#include "common/archive/retention/retention_inventory.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string_view>

namespace walgd::archive {

/// Leftovers younger than this may be of a backup that is being taken.
inline constexpr std::chrono::hours leftover_age{24};

/// What the times of its objects, and of what says that it is being taken, tell about each backup's folder. All are the storage's
/// own, so no two clocks meet here. Looks into the inventory, which outlives it.
class BackupFolders {
public:
    explicit BackupFolders(const Inventory& inventory);

    /// The names, in order.
    std::vector<std::string_view> names() const;
    /// Nobody is writing into that folder, which has no sentinel: nothing was put there for a day; or all was put there but the
    /// sentinel, which follows at once or never, and a whole other backup was taken since.
    bool abandoned(std::string_view name) const;

private:
    struct Times {
        storage::Modified oldest, youngest;
        std::optional<storage::Modified> metadata, youngest_part;
    };
    static bool all_but_sentinel(const Times& times);

    std::map<std::string_view, Times> folders_;
    std::optional<storage::Modified>
        latest_begun_; ///< the oldest object of the backup, of those with a sentinel, that began last
    Time taken_;
};

} // namespace walgd::archive
