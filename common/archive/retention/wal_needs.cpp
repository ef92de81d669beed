#include "common/archive/retention/wal_needs.hpp"

#include <algorithm>

namespace walgd::archive {

bool may_reach(const HeldBackup& backup, pg::TimelineId timeline, const std::vector<pg::TimelineHistory>& histories) {
    if (timeline == backup.first.timeline) return true;
    if (timeline < backup.first.timeline) return false;
    bool known = false;
    for (const auto& history : histories) {
        if (history.timeline != timeline) continue;
        known = true;
        for (const auto& past : history.past) {
            if (past.timeline == backup.first.timeline && past.end >= backup.finish) return true;
        }
    }
    return !known;
}

void WalNeeds::add(const HeldBackup& backup) {
    // At a boundary the server may name the next segment, and recovery begins by reading the one before.
    const auto before = backup.start.bytes() == 0 ? 0 : pg::segment_number(pg::Lsn(backup.start.bytes() - 1), segment_bytes_);
    ranges_[backup.first.timeline].push_back({std::min(before, backup.first.number), backup.last});
}

bool WalNeeds::needs(pg::Segment segment) const {
    const auto ranges = ranges_.find(segment.timeline);
    if (ranges == ranges_.end()) return false;
    return std::ranges::any_of(
        ranges->second, [segment](const Range& range) { return segment.number >= range.first && segment.number <= range.last; });
}

} // namespace walgd::archive
