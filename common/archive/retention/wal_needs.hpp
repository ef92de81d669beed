#pragma once
#include "common/archive/retention/retention_inventory.hpp"

#include <map>

namespace walgd::archive {

/// Whether recovery from `backup` can come to `timeline`, by the histories. Of a timeline whose history is not known it is
/// supposed that it comes from every older one.
bool may_reach(const HeldBackup& backup, pg::TimelineId timeline, const std::vector<pg::TimelineHistory>& histories);

/// The WAL that was written while backups were taken that stay: without it they cannot be restored. What recovery from them needs
/// further is all behind their start, on their timeline and higher ones: that the planner keeps as a whole.
class WalNeeds {
public:
    explicit WalNeeds(std::uint64_t segment_bytes) : segment_bytes_(segment_bytes) {}

    void add(const HeldBackup& backup);
    bool needs(pg::Segment segment) const;

private:
    struct Range {
        std::uint64_t first, last;
    };
    std::uint64_t segment_bytes_;
    std::map<pg::TimelineId, std::vector<Range>> ranges_;
};

} // namespace walgd::archive
