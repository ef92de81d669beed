#include "common/pg/timeline_history.hpp"

#include "common/base/error.hpp"
#include "common/base/number_text.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <optional>

namespace walgd::pg {

namespace {

constexpr std::string_view blanks = " \t\r\v\f";

/// The next word of `line`, which is cut off; empty when there is none.
std::string_view take_word(std::string_view& line) {
    line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
    const auto word = line.substr(0, line.find_first_of(blanks));
    line.remove_prefix(word.size());
    return word;
}

std::optional<PastTimeline> parse_line(std::string_view line) {
    const auto number = whole_number<std::uint32_t>(take_word(line));
    const auto lsn = Lsn::parse(take_word(line));
    if (!number || *number == 0 || !lsn) return std::nullopt;
    return PastTimeline{TimelineId(*number), *lsn};
}

/// PostgreSQL that is told to follow a history, and recovers to a moment before its last turn, writes that turn down all the
/// same: "1 0/9000000, 2 0/5000000". Timeline 3 begins at 0/5000000, of 1 then, and 2 has no part in it (tliOfPointInHistory()).
void end_where_later_ones_begin(std::vector<PastTimeline>& past) {
    for (auto later = past.rbegin(); later != past.rend() && later + 1 != past.rend(); ++later) {
        auto& earlier = *(later + 1);
        earlier.end = std::min(earlier.end, later->end);
    }
}

} // namespace

TimelineId TimelineHistory::timeline_at(Lsn lsn) const {
    for (const auto& one : past) {
        if (lsn < one.end) return one.timeline;
    }
    return timeline;
}

TimelineHistory parse_timeline_history(std::string_view text, TimelineId timeline, std::string_view file) {
    TimelineHistory history{timeline, {}};
    while (!text.empty()) {
        const auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        const auto first = line.find_first_not_of(blanks);
        if (first == std::string_view::npos || line[first] == '#') continue;
        const auto past = parse_line(line);
        if (!past)
            throw Error(ErrorKind::corrupt, fmt::format("{} has the line '{}', which names no timeline and LSN", file, line),
                        "is it a timeline history file of PostgreSQL?");
        const bool rises = (history.past.empty() || history.past.back().timeline < past->timeline) && past->timeline < timeline;
        if (!rises)
            throw Error(ErrorKind::corrupt,
                        fmt::format("{} names timeline {} where only a later one could follow", file, past->timeline.number()),
                        "is it the history of another timeline?");
        history.past.push_back(*past);
    }
    end_where_later_ones_begin(history.past);
    return history;
}

} // namespace walgd::pg
