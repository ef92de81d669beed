#pragma once
#include "common/archive/retention/retention_inventory.hpp"

#include <map>

namespace walgd::archive {

/// Which backup is based on which. The backups must outlive it.
class BackupGraph {
public:
    explicit BackupGraph(const std::vector<HeldBackup>& backups);

    /// nullptr when there is none of that name.
    const HeldBackup* find(std::string_view name) const;
    /// `backup` and what it is based on, itself first; as far as that is there.
    std::vector<const HeldBackup*> chain(const HeldBackup& backup) const;
    /// The root of the chain; `backup` itself when it is a full one. nullptr when a link is not there.
    const HeldBackup* full_of(const HeldBackup& backup) const;
    /// `backup` and all that is based on it, directly or not.
    std::vector<const HeldBackup*> dependants(const HeldBackup& backup) const;
    /// Why it cannot be restored, by the names of objects; empty: it can.
    std::string defect(const HeldBackup& backup) const;

private:
    std::map<std::string_view, const HeldBackup*> by_name_;
    std::multimap<std::string_view, const HeldBackup*> by_base_;
};

} // namespace walgd::archive
