#include "common/archive/wal_needs.hpp"

#include <algorithm>
#include <limits>

namespace walgd::archive {

void WalNeeds::recover_from(const HeldBackup& backup) {
    restore(backup);
    recovered_.push_back(&backup);
    firsts_.clear();
}

void WalNeeds::restore(const HeldBackup& backup) {
    // At a boundary the server may name the next segment, and recovery begins by reading the one before.
    const auto before = backup.start.bytes() == 0 ? 0 : pg::segment_number(pg::Lsn(backup.start.bytes() - 1), segment_bytes_);
    ranges_[backup.first.timeline].push_back({std::min(before, backup.first.number), backup.last});
}

bool WalNeeds::may_follow(pg::TimelineId timeline, const HeldBackup& backup) const {
    if (timeline == backup.first.timeline) return true;
    if (timeline < backup.first.timeline) return false;
    bool known = false;
    for (const auto& history : histories_) {
        if (history.timeline != timeline) continue;
        known = true;
        for (const auto& past : history.past) {
            if (past.timeline == backup.first.timeline && past.end >= backup.start) return true;
        }
    }
    return !known;
}

std::uint64_t WalNeeds::first_of(pg::TimelineId timeline) const {
    const auto [known, asked_first] = firsts_.try_emplace(timeline, std::numeric_limits<std::uint64_t>::max());
    if (!asked_first) return known->second;
    for (const auto* backup : recovered_) {
        if (may_follow(timeline, *backup)) known->second = std::min(known->second, backup->first.number);
    }
    return known->second;
}

bool WalNeeds::needs(pg::Segment segment) const {
    if (segment.number >= first_of(segment.timeline)) return true;
    const auto ranges = ranges_.find(segment.timeline);
    if (ranges == ranges_.end()) return false;
    return std::ranges::any_of(ranges->second, [segment](const Range& range) {
        return segment.number >= range.first && segment.number <= range.last;
    });
}

} // namespace walgd::archive
