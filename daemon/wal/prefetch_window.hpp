#pragma once
#include "common/pg/wal_name.hpp"

#include <optional>
#include <vector>

namespace walgd::daemon {

/// Decides which segments to have at hand: those behind the one that was answered last, on its timeline. Pure: no clock, no
/// storage. How many: one at first; twice as many whenever the next one in order was asked for before it was there; one again
/// after another timeline, or the archive's end; none after a jump, until the one behind that was asked for: two standbys at
/// different places take turns, and each would get what the other drops. So a near storage is asked for little, and a far one for
/// all it needs.
class PrefetchWindow {
public:
    /// `depth_max` 0: never any.
    explicit PrefetchWindow(unsigned depth_max) : depth_max_(depth_max) {}

    enum class Came {
        ready,  ///< it was there when it was asked for
        late,   ///< it was on its way
        itself, ///< nobody had thought of it
    };
    /// A request for `segment` got it.
    void answered(pg::Segment segment, Came came);
    /// A request for `segment` learnt that the storage has none.
    void refused(pg::Segment segment);
    /// A look ahead found none: nothing behind it is wanted until the one before it was asked for.
    void ends_at(pg::Segment segment);
    /// The timeline turned, or nobody asked for long: as at the beginning.
    void forget();

    /// What to have, nearest first.
    std::vector<pg::Segment> wanted() const;
    /// What was answered last: PostgreSQL asks for it once more at the end of recovery.
    std::optional<pg::Segment> last() const { return last_; }
    unsigned depth() const { return depth_; }

private:
    bool is_next(pg::Segment segment) const;

    unsigned depth_max_;
    unsigned depth_ = 0;
    std::optional<pg::Segment> last_, end_;
};

} // namespace walgd::daemon
