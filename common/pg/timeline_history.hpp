#pragma once
#include "common/pg/lsn.hpp"

#include <string_view>
#include <vector>

namespace walgd::pg {

/// A timeline that was left: its WAL counts up to `end`, where the next one of the history begins. Ends never fall; one that does
/// not lie behind the one before is of a timeline that has no part in the history.
struct PastTimeline {
    TimelineId timeline{0};
    Lsn end{0};
    friend bool operator==(const PastTimeline&, const PastTimeline&) = default;
};

/// One timeline with all that it came from, oldest first.
struct TimelineHistory {
    TimelineId timeline{1}; ///< the one that the file is of
    std::vector<PastTimeline> past;

    /// Whose WAL the byte at `lsn` belongs to.
    TimelineId timeline_at(Lsn lsn) const;
    friend bool operator==(const TimelineHistory&, const TimelineHistory&) = default;
};

/// Parses the text of TTTTTTTT.history (src/backend/access/transam/timeline.c): a line a past timeline, "number TAB switch point
/// TAB reason"; empty lines and '#' comments count for nothing. Switch points that fall make those before them end there, too.
/// Error(corrupt), naming `file`, when a line is neither or the
/// timelines do not rise.
TimelineHistory parse_timeline_history(std::string_view text, TimelineId timeline, std::string_view file);

} // namespace walgd::pg
