#include "daemon/wal/prefetch_window.hpp"

#include <algorithm>

namespace walgd::daemon {

namespace {

/// One that is unpacked while the one before it is written: needed however near the storage is.
constexpr unsigned depth_least = 2;

} // namespace

bool PrefetchWindow::is_next(pg::Segment segment) const {
    return last_ && segment.timeline == last_->timeline && segment.number == last_->number + 1;
}

void PrefetchWindow::answered(pg::Segment segment, Came came) {
    if (segment == last_) return;
    const bool jump = last_ && segment.timeline == last_->timeline && !is_next(segment);
    if (jump)
        depth_ = 0;
    else if (!is_next(segment) || came == Came::itself)
        depth_ = 1;
    else if (came == Came::late || depth_ < depth_least)
        depth_ = std::max(1U, 2 * depth_);
    depth_ = std::min(depth_, depth_max_);
    if (!is_next(segment) || (end_ && end_->number <= segment.number + 1)) end_.reset();
    last_ = segment;
}

void PrefetchWindow::refused(pg::Segment segment) {
    if (is_next(segment)) depth_ = std::min(1U, depth_max_);
}

void PrefetchWindow::ends_at(pg::Segment segment) {
    if (last_ && segment.timeline == last_->timeline && (!end_ || segment.number < end_->number)) end_ = segment;
}

void PrefetchWindow::forget() {
    depth_ = 0;
    last_.reset();
    end_.reset();
}

std::vector<pg::Segment> PrefetchWindow::wanted() const {
    std::vector<pg::Segment> segments;
    if (!last_) return segments;
    for (unsigned ahead = 1; ahead <= depth_; ++ahead) {
        const pg::Segment segment{last_->timeline, last_->number + ahead};
        if (end_ && segment.number >= end_->number) break;
        segments.push_back(segment);
    }
    return segments;
}

} // namespace walgd::daemon
