#pragma once
#include "common/archive/retention_inventory.hpp"

#include <map>

namespace walgd::archive {

/// Which WAL the backups that stay need. Of a timeline whose history is not known it is supposed that it comes from every older
/// one.
class WalNeeds {
public:
    /// `histories` must outlive it.
    WalNeeds(const std::vector<pg::TimelineHistory>& histories, std::uint64_t segment_bytes)
        : histories_(histories), segment_bytes_(segment_bytes) {}

    /// `backup` stays; with all WAL that follows it, on its timeline and those that come from it.
    void recover_from(const HeldBackup& backup);
    /// `backup` stays; with the WAL that was written while it was taken.
    void restore(const HeldBackup& backup);

    bool needs(pg::Segment segment) const;

private:
    bool may_follow(pg::TimelineId timeline, const HeldBackup& backup) const;
    std::uint64_t first_of(pg::TimelineId timeline) const;

    struct Range {
        std::uint64_t first, last;
    };
    const std::vector<pg::TimelineHistory>& histories_;
    std::uint64_t segment_bytes_;
    std::vector<const HeldBackup*> recovered_;
    std::map<pg::TimelineId, std::vector<Range>> ranges_;
    mutable std::map<pg::TimelineId, std::uint64_t> firsts_; ///< first_of() of timelines that were asked for
};

} // namespace walgd::archive
