#pragma once
#include "common/archive/object_copy.hpp"

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

/// Objects moved from one storage to another in groups: what is not whole at its new place stays at the old one.
namespace walgd::archive {

/// Moved together: `last` is copied after all others, and removed before them. A backup's is its sentinel.
struct MoveGroup {
    std::vector<storage::ObjectInfo> objects;
    std::optional<storage::ObjectInfo> last;
    std::size_t size() const { return objects.size() + (last ? 1 : 0); }
};

/// How objects are moved, or copied.
struct MoveOptions {
    Existing existing = Existing::replace; ///< keep_same: what came to the target since it was listed is not replaced
    bool preserve = false;                 ///< copy only
    bool fail_fast = false;                ///< the first object that cannot be moved ends it
    unsigned checks = 3; ///< so often it is looked for at its new place before it is removed from the old; 0: not at all
    std::chrono::milliseconds check_interval{1000};
};

/// The groups of a listing: each object one of its own.
std::vector<MoveGroup> single_groups(std::vector<storage::ObjectInfo> objects);
/// The backup that an object of basebackups_005/ belongs to, its sentinel too.
std::string_view backup_of_object(std::string_view path);
/// The backups that have a sentinel in a listing of basebackups_005/.
std::set<std::string, std::less<>> backups_with_sentinel(const std::vector<storage::ObjectInfo>& objects);
/// The groups of a listing of basebackups_005/, by backup, in the order of their sentinels' times; `tell` hears of those without
/// a sentinel and of those without data, which are no groups. `name`: only this backup; empty: all.
std::vector<MoveGroup> backup_groups(const std::vector<storage::ObjectInfo>& objects, const std::string& name,
                                     const std::function<void(const std::string&)>& tell);

/// Several groups at once; that one's `last` does not come to its new place before those of the groups before it. `moved` hears
/// of each object. Returns how many could not be moved; each has been told to `failed`.
std::size_t move_groups(const CopyRoute& route, const std::vector<MoveGroup>& groups, const MoveOptions& options,
                        const std::function<void(const std::string& path)>& moved,
                        const std::function<void(const std::string& path, const Error& error)>& failed);

} // namespace walgd::archive
