#include "common/pg/divergence.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <limits>

namespace walgd::pg {

namespace {

constexpr Lsn never(std::numeric_limits<std::uint64_t>::max());

/// The history with the timeline that it is of, which has no end yet.
std::vector<PastTimeline> whole(const TimelineHistory& history) {
    auto timelines = history.past;
    timelines.push_back({history.timeline, never});
    return timelines;
}

} // namespace

std::optional<Lsn> divergence(const TimelineHistory& one, const TimelineHistory& other) {
    const auto ours = whole(one), theirs = whole(other);
    std::optional<Lsn> parted;
    Lsn begin(0), their_begin(0);
    for (std::size_t index = 0; index < std::min(ours.size(), theirs.size()); ++index) {
        if (ours[index].timeline != theirs[index].timeline || begin != their_begin) break;
        parted = std::min(ours[index].end, theirs[index].end);
        begin = ours[index].end;
        their_begin = theirs[index].end;
    }
    if (!parted)
        throw Error(ErrorKind::refused,
                    fmt::format("timelines {} and {} have no common ancestor", one.timeline.number(), other.timeline.number()),
                    "are both folders of one cluster's family?");
    if (*parted == never) return std::nullopt;
    return parted;
}

} // namespace walgd::pg
