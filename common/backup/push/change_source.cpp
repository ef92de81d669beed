#include "common/backup/push/change_source.hpp"

#include <algorithm>

namespace walgd::backup {

std::vector<pg::WalRange> ChangeRange::pieces() const {
    std::vector<pg::WalRange> found;
    pg::Lsn begin(0);
    auto add = [&](pg::TimelineId timeline, pg::Lsn end) {
        const pg::WalRange piece{timeline, std::max(begin, from), std::min(end, to)};
        if (piece.start < piece.end) found.push_back(piece);
        begin = end;
    };
    for (const auto& past : history.past) add(past.timeline, past.end);
    add(history.timeline, to);
    return found;
}

} // namespace walgd::backup
