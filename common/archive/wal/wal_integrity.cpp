#include "common/archive/wal/wal_integrity.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::archive {

namespace {

/// Where a timeline was left; nothing when the history does not name it.
std::optional<std::uint64_t> end_of(const SwitchPoints& switches, pg::TimelineId timeline) {
    const auto found = std::ranges::find(switches, timeline, &SwitchPoints::value_type::second);
    if (found == switches.end()) return std::nullopt;
    return found->first;
}

/// Goes down the history segment by segment.
class Walk {
public:
    Walk(const WalCatalogue& wal, const SwitchPoints& switches, pg::Segment current, std::uint64_t first)
        : wal_(wal), switches_(switches), at_(current), first_(first) {}

    bool more() const { return at_.number > first_; }
    /// True: it is there.
    bool step() {
        // Of several timelines that were left in one segment the oldest has the segment before.
        const auto left = switches_.lower_bound(at_.number);
        const bool turn = left != switches_.end() && left->first == at_.number;
        --at_.number;
        // Records of a history that never came true (a cluster restored to an earlier point) lead nowhere.
        if (turn && !wal_.has(at_)) at_.timeline = left->second;
        return wal_.has(at_);
    }
    /// Where step() found nothing: goes on to the last before something may be there again. One name far ahead of all others
    /// makes a gap of any length.
    void skip_missing() {
        auto bottom = std::min(first_, at_.number);
        if (const auto left = switches_.upper_bound(at_.number); left != switches_.begin())
            bottom = std::max(bottom, std::prev(left)->first);
        const auto timeline = wal_.timelines.find(at_.timeline);
        if (timeline != wal_.timelines.end()) {
            const auto& runs = timeline->second.runs;
            const auto above = std::ranges::upper_bound(runs, at_.number, {}, &SegmentRun::first);
            if (above != runs.begin()) bottom = std::max(bottom, std::prev(above)->last + 1);
        }
        at_.number = bottom;
    }
    pg::Segment at() const { return at_; }

private:
    const WalCatalogue& wal_;
    const SwitchPoints& switches_;
    pg::Segment at_;
    std::uint64_t first_;
};

/// Runs, gathered from the newest segment down.
class Runs {
public:
    void add(pg::Segment segment, SegmentState state) {
        if (!runs_.empty() && runs_.back().timeline == segment.timeline && runs_.back().state == state)
            runs_.back().segments.first = segment.number;
        else
            runs_.push_back({segment.timeline, {segment.number, segment.number}, state});
    }
    std::vector<CheckedRun> ascending() && {
        std::ranges::reverse(runs_);
        return std::move(runs_);
    }

private:
    std::vector<CheckedRun> runs_;
};

} // namespace

SwitchPoints switch_points(const pg::TimelineHistory& history, std::uint64_t segment_bytes) {
    SwitchPoints switches;
    for (const auto& past : history.past) switches.emplace(pg::segment_number(past.end, segment_bytes), past.timeline);
    return switches;
}

std::string why_not_usable(const BackupEntry& backup, const SwitchPoints& switches, pg::TimelineId current,
                           std::uint64_t segment_bytes) {
    const auto start = pg::parse_segment(backup.wal_file, segment_bytes);
    if (!start) return "its name tells no segment that it begins with.";
    if (switches.empty()) return {};
    if (start->timeline.number() > 1) {
        const auto begin = end_of(switches, pg::TimelineId(start->timeline.number() - 1));
        if (begin && start->number < *begin)
            return fmt::format("backup start segment number {} is less than the backup timeline start segment number {}.",
                               start->number, *begin);
    }
    if (start->timeline == current) return {};
    const auto end = end_of(switches, start->timeline);
    if (!end)
        return fmt::format("backup timeline {} is not present in .history file and is not current.", start->timeline.number());
    if (start->number >= *end)
        return fmt::format("backup start segment number {} should be less than the backup timeline end segment number {}.",
                           start->number, *end);
    return {};
}

CheckStart earliest_backup(const std::vector<BackupEntry>& backups, const std::vector<std::string>& permanent,
                           const SwitchPoints& switches, pg::TimelineId current, std::uint64_t segment_bytes,
                           const std::function<void(const std::string&)>& tell) {
    CheckStart start;
    for (const auto& backup : backups) {
        auto why =
            std::ranges::find(permanent, backup.name) != permanent.end()
                ? std::string("backup is permanent, it is not eligible to be selected as the earliest backup for wal-verify.")
                : why_not_usable(backup, switches, current, segment_bytes);
        if (!why.empty()) {
            tell(fmt::format("checkBackupIsCorrect: {}: {}", backup.name, why));
            continue;
        }
        const auto first = pg::parse_segment(backup.wal_file, segment_bytes)->number;
        if (start.backup.empty() || first < start.first) start = {backup.name, first};
    }
    return start;
}

std::vector<CheckedRun> check_segments(const WalCatalogue& wal, const SwitchPoints& switches, pg::Segment current,
                                       std::uint64_t first, CheckWindows windows) {
    Walk walk(wal, switches, current, first);
    Runs runs;
    for (bool found = false; !found && windows.delayed > 0 && walk.more(); --windows.delayed) {
        found = walk.step();
        runs.add(walk.at(), found ? SegmentState::found : SegmentState::delayed);
    }
    for (; windows.uploading > 0 && walk.more(); --windows.uploading) {
        const bool found = walk.step();
        runs.add(walk.at(), found ? SegmentState::found : SegmentState::uploading);
    }
    while (walk.more()) {
        const bool found = walk.step();
        runs.add(walk.at(), found ? SegmentState::found : SegmentState::lost);
        if (found) continue;
        walk.skip_missing();
        runs.add(walk.at(), SegmentState::lost);
    }
    return std::move(runs).ascending();
}

CheckStatus status_of(const std::vector<CheckedRun>& runs, bool have_backup) {
    auto status = CheckStatus::ok;
    // Nothing at all is stored: then nothing begins later than it should.
    bool found = std::ranges::find(runs, SegmentState::found, &CheckedRun::state) == runs.end();
    for (const auto& run : runs) {
        found = found || run.state == SegmentState::found;
        if (run.state == SegmentState::lost && (have_backup || found)) return CheckStatus::failure;
        if (run.state != SegmentState::found) status = CheckStatus::warning;
    }
    return status;
}

CheckStatus timeline_status(std::optional<pg::TimelineId> highest, pg::TimelineId current) {
    if (!highest) return CheckStatus::warning;
    return *highest == current ? CheckStatus::ok : CheckStatus::failure;
}

std::string_view name_of(SegmentState state) {
    switch (state) {
    case SegmentState::found:
        return "FOUND";
    case SegmentState::lost:
        return "MISSING_LOST";
    case SegmentState::uploading:
        return "MISSING_UPLOADING";
    case SegmentState::delayed:
        return "MISSING_DELAYED";
    }
    return "";
}

std::string_view name_of(CheckStatus status) {
    switch (status) {
    case CheckStatus::ok:
        return "OK";
    case CheckStatus::warning:
        return "WARNING";
    case CheckStatus::failure:
        return "FAILURE";
    }
    return "";
}

} // namespace walgd::archive
