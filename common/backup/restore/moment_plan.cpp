#include "common/backup/restore/moment_plan.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

using Kind = MomentTarget::Kind;

/// What came of following the WAL from one backup.
struct Followed {
    StopFinder finder;
    std::uint64_t next = 0; ///< the first segment that is not there or damaged, or the one behind the stop
    std::string damage{};   ///< what is wrong with it; empty: it is not there
    std::string advice{};   ///< against that; empty: what goes for every damage
    std::optional<archive::NotedEnd> last_commit{};        ///< before it
    std::vector<archive::NotedRequirement> requirements{}; ///< up to the stop
};

/// Returns what recovery asks for in the segment.
std::vector<archive::NotedRequirement> look_into(const TimelinePath& path, MomentWal& wal, std::uint64_t number, pg::Lsn start,
                                                 StopFinder& finder) {
    const auto segment = path.segment(number);
    std::optional<pg::Segment> next;
    if (path.has(number + 1)) next = path.segment(number + 1);
    auto note = wal.note(segment, next);
    if (finder.may_stop_in(note, path.end_of(number)))
        wal.show(segment, next, finder);
    else
        finder.pass(note);
    const auto& stop = finder.stop();
    const auto end = !stop ? path.end_of(number) : stop->before ? stop->begin : stop->end;
    std::erase_if(note.requirements, [&](const auto& one) { return one.begin < start || one.begin >= end; });
    return std::move(note.requirements);
}

/// Where the server went over to wal_level = minimal: recovery ends with an error there.
const archive::NotedRequirement* minimal_wal(const std::vector<archive::NotedRequirement>& requirements) {
    const auto found = std::ranges::find_if(requirements, [](const auto& one) {
        const auto* settings = std::get_if<pg::StandbySettings>(&one.what);
        return settings != nullptr && settings->wal_level == pg::StandbySettings::wal_level_minimal;
    });
    return found == requirements.end() ? nullptr : &*found;
}

Followed follow(const TimelinePath& path, MomentWal& wal, const MomentTarget& target, const BackupFacts& backup) {
    Followed result{StopFinder(target, backup.start, backup.finish), path.number_of(backup.start)};
    auto& finder = result.finder;
    for (; path.has(result.next) && !finder.stop(); ++result.next) {
        try {
            const auto requirements = look_into(path, wal, result.next, backup.start, finder);
            if (const auto* minimal = minimal_wal(requirements)) {
                result.damage =
                    fmt::format("from LSN {} on the server wrote it with wal_level = minimal, over which nobody recovers",
                                minimal->begin.text());
                result.advice = "a backup that was taken after that leads there; if there is none, none can: take one";
                return result;
            }
            result.requirements.insert(result.requirements.end(), requirements.begin(), requirements.end());
        } catch (const Error& error) {
            // Recovery ends there as it does where one is missing.
            if (error.kind() != ErrorKind::corrupt) throw;
            result.damage = error.what();
            return result;
        }
        result.last_commit = finder.last_commit();
    }
    return result;
}

/// The WAL of the backup itself is there.
bool consistent(const TimelinePath& path, const BackupFacts& backup, std::uint64_t next) {
    return next > path.number_of(pg::Lsn(backup.finish.bytes() - 1));
}

/// Where that may be why.
std::string lacking_history(const TimelinePath& path) {
    if (path.has_history()) return {};
    return fmt::format("; {} is not in the archive or damaged, so only backups of that timeline itself lead there",
                       pg::history_name(path.timeline()));
}

std::vector<BackupFacts> candidates(const ArchiveView& view, const TimelinePath& path, const MomentRequest& request) {
    std::vector<BackupFacts> found;
    for (const auto& backup : view.backups) {
        const bool asked_for = request.backup.empty() || backup.name == request.backup;
        if (asked_for && path.leads_through(backup)) found.push_back(backup);
    }
    const bool there =
        request.backup.empty() || std::ranges::find(view.backups, request.backup, &BackupFacts::name) != view.backups.end();
    if (!there)
        throw Error(ErrorKind::refused,
                    fmt::format("there is no backup {} that a restore to a moment can begin with", request.backup),
                    "walg restorable shows those that there are");
    if (found.empty() && !request.backup.empty())
        throw Error(ErrorKind::refused,
                    fmt::format("backup {} is not on the way to timeline {}{}", request.backup, path.timeline().number(),
                                lacking_history(path)),
                    "leave --backup out, or name another --target-timeline; walg restorable shows what goes together");
    if (found.empty())
        throw Error(ErrorKind::refused,
                    fmt::format("there is no backup from which timeline {} can be reached{}", path.timeline().number(),
                                lacking_history(path)),
                    "walg restorable shows what can be restored");
    // The newest first; for a time those that had ended by then, as the clocks say. What the WAL says decides.
    const auto& target = request.target;
    std::ranges::sort(found, [&](const BackupFacts& a, const BackupFacts& b) {
        const auto rank = [&](const BackupFacts& one) {
            return std::pair(target.kind == Kind::time && one.finish_time > target.time, ~one.finish.bytes());
        };
        return rank(a) < rank(b);
    });
    return found;
}

/// Why no backup led to the target, as far as it is known.
struct Refusal {
    std::string text, hint;
};

std::string nearest_text(const std::optional<archive::NotedEnd>& commit, const BackupFacts& backup) {
    if (commit) return "nearest reachable: " + commit_text(*commit);
    return fmt::format("nearest reachable: the end of backup {} at LSN {} (--target-immediate)", backup.name,
                       backup.finish.text());
}

Refusal unreachable(const TimelinePath& path, const MomentRequest& request, const Followed& followed, const BackupFacts& backup) {
    const auto last = path.last();
    const bool gap = last && *last > followed.next;
    const auto name = path.name(followed.next);
    const auto nearest = nearest_text(followed.last_commit, backup);
    const bool damaged = !followed.damage.empty();
    const auto lacking =
        damaged ? fmt::format("segment {} cannot be used ({})", name, followed.damage) : fmt::format("no segment {}", name);
    if (!consistent(path, backup, followed.next))
        return {fmt::format("{}: without it backup {} cannot be made consistent", lacking, backup.name),
                "another backup may do: walg restorable shows how far each leads"};
    if (followed.finder.parent())
        return {fmt::format("transaction {} is a subtransaction of {}: recovery ends at whole transactions", request.target.xid,
                            *followed.finder.parent()),
                fmt::format("--target-xid {}", *followed.finder.parent())};
    if (!followed.advice.empty()) return {fmt::format("{}; {}", lacking, nearest), followed.advice};
    if (damaged)
        return {fmt::format("{}; {}", lacking, nearest),
                fmt::format("{} is not reached. Keep the object, and look for another copy of the segment; walg verify names all "
                            "that is damaged",
                            request.target.text())};
    if (gap)
        return {fmt::format("{}; {}", lacking, nearest),
                fmt::format("{} is not reached. Push the segment if it is still somewhere; walg restorable shows all gaps",
                            request.target.text())};
    return {fmt::format("{} is not in the archived WAL, which ends before segment {}; {}", request.target.text(), name, nearest),
            "without a target everything that is archived is recovered, up to that commit"};
}

Refusal before_backup(const MomentRequest& request, const BackupFacts& backup) {
    return {fmt::format("{} is before the end of backup {}; nearest reachable: {} (LSN {})", request.target.text(), backup.name,
                        target_time_text(backup.finish_time), backup.finish.text()),
            request.backup.empty() ? "no earlier backup leads there: --target-immediate ends where this one does"
                                   : "leave --backup out: an earlier one may lead there"};
}

MomentPlan made(const TimelinePath& path, const BackupFacts& backup, const Followed& followed) {
    const auto first = path.number_of(backup.start);
    const auto& stop = followed.finder.stop();
    // A record that goes on in the next segment needs that one too.
    const auto last = stop ? std::max(path.number_of(pg::Lsn(stop->end.bytes() - 1)), first) : followed.next - 1;
    MomentPlan plan;
    plan.backup = backup;
    plan.timeline = path.timeline();
    plan.has_history = path.has_history();
    plan.stop = stop;
    plan.last_commit = followed.last_commit;
    plan.first_segment = path.name(first);
    plan.last_segment = path.name(last);
    plan.segments = last - first + 1;
    plan.requirements = followed.requirements;
    return plan;
}

/// The target is before the end of the backup. Where no transaction ended between that and the target, PostgreSQL would stop
/// there all the same, and what the backup holds may be later: then the clock of who took it decides.
bool too_early(const MomentTarget& target, const BackupFacts& backup, const StopFinder& finder) {
    if (finder.too_early()) return true;
    return target.kind == Kind::time && finder.stop() && !finder.past_backup() && target.time < backup.finish_time;
}

/// Whether following led to what was asked for.
bool reached(const TimelinePath& path, const MomentTarget& target, const BackupFacts& backup, const Followed& followed) {
    if (!followed.damage.empty()) return false;
    if (target.kind != Kind::end) return followed.finder.stop() && !too_early(target, backup, followed.finder);
    const auto last = path.last();
    return last && followed.next > *last && consistent(path, backup, followed.next);
}

} // namespace

pg::TimelineId ArchiveView::latest_timeline() const {
    auto latest = histories.empty() ? pg::TimelineId(1) : histories.rbegin()->first;
    if (!segments.empty()) latest = std::max(latest, segments.rbegin()->timeline);
    return latest;
}

void ArchiveView::add_missing_histories() {
    for (const auto& segment : segments) {
        const bool missing = histories.try_emplace(segment.timeline, pg::TimelineHistory{segment.timeline, {}}).second;
        if (missing) without_history.insert(segment.timeline);
    }
}

const pg::TimelineHistory& ArchiveView::history_of(pg::TimelineId timeline) const {
    const auto found = histories.find(timeline);
    if (found != histories.end()) return found->second;
    std::string known;
    for (const auto& [number, history] : histories) known += fmt::format(" {}", number.number());
    throw Error(ErrorKind::refused,
                fmt::format("the archive has no history file of timeline {} ({})", timeline.number(), pg::history_name(timeline)),
                fmt::format("it has those of:{}", known));
}

pg::Segment TimelinePath::segment(std::uint64_t number) const {
    return {history_.timeline_at(pg::Lsn((number + 1) * view_.segment_bytes - 1)), number};
}

std::optional<std::uint64_t> TimelinePath::last() const {
    // Timelines come after each other: what is highest on the last one that has any.
    for (auto one = view_.segments.rbegin(); one != view_.segments.rend(); ++one) {
        if (segment(one->number) == *one) return one->number;
    }
    return std::nullopt;
}

bool TimelinePath::leads_through(const BackupFacts& backup) const {
    if (history_.timeline_at(backup.start) != backup.timeline) return false;
    const auto past = std::ranges::find(history_.past, backup.timeline, &pg::PastTimeline::timeline);
    return past == history_.past.end() || backup.finish <= past->end;
}

std::string commit_text(const archive::NotedEnd& commit) {
    return fmt::format("{} (xid {}, LSN {})", target_time_text(commit.time), commit.xid, commit.end.text());
}

namespace {

/// Nothing, where the segment is damaged.
std::optional<archive::WalNote> sound_note(MomentWal& wal, pg::Segment segment, std::optional<pg::Segment> next) {
    try {
        return wal.note(segment, next);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        return std::nullopt;
    }
}

/// Whether the target may be in what is on the way to that timeline and not on the one to the latest. No other WAL is read for
/// it: mostly there is little of that, and much of the rest.
bool may_be_aside(const ArchiveView& view, MomentWal& wal, const MomentTarget& target, pg::TimelineId timeline) {
    const TimelinePath latest(view, view.latest_timeline()), path(view, timeline);
    const StopFinder finder(target, pg::Lsn(0), pg::Lsn(0));
    return std::ranges::any_of(view.segments, [&](const pg::Segment& segment) {
        const auto number = segment.number;
        if (path.segment(number) != segment || latest.segment(number) == segment) return false;
        std::optional<pg::Segment> next;
        if (path.has(number + 1)) next = path.segment(number + 1);
        const auto note = sound_note(wal, segment, next);
        return note && finder.may_stop_in(*note, path.end_of(number));
    });
}

/// The target may be on a timeline that the latest one left before: after a failover, or the trial of a restore. Empty: it is
/// not.
std::string on_another_timeline(const ArchiveView& view, MomentWal& wal, const MomentRequest& request) {
    const bool one_place = request.target.kind != Kind::end && request.target.kind != Kind::immediate;
    if (request.timeline || !one_place) return {};
    auto other = request;
    for (auto one = view.histories.rbegin(); one != view.histories.rend(); ++one) {
        if (one->first == view.latest_timeline() || !may_be_aside(view, wal, request.target, one->first)) continue;
        try {
            other.timeline = one->first;
            plan_moment(view, wal, other);
            return fmt::format("it is on timeline {}, and not on the latest, {}: --target-timeline {}", one->first.number(),
                               view.latest_timeline().number(), one->first.number());
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::refused) throw;
        }
    }
    return {};
}

} // namespace

MomentPlan plan_moment(const ArchiveView& view, MomentWal& wal, const MomentRequest& request) {
    const TimelinePath path(view, request.timeline.value_or(view.latest_timeline()));
    const auto& target = request.target;
    std::optional<Refusal> refusal;
    bool of_broken_backup = false; // another one has more to say
    const auto backups = candidates(view, path, request);
    for (const auto& backup : backups) {
        if (target.kind == Kind::lsn && target.lsn < backup.finish) {
            refusal = before_backup(request, backup);
            continue;
        }
        const auto followed = follow(path, wal, target, backup);
        if (reached(path, target, backup, followed)) return made(path, backup, followed);
        // What the newest one says of the way forward holds for all; what the oldest one says of the way back too.
        const bool early = too_early(target, backup, followed.finder);
        if (early)
            refusal = before_backup(request, backup);
        else if (!refusal || of_broken_backup)
            refusal = unreachable(path, request, followed, backup);
        of_broken_backup = !early && !consistent(path, backup, followed.next);
        // A transaction or a name may be in older WAL; what comes later is not reached from an older backup either.
        const bool searching =
            early || target.kind == Kind::xid || target.kind == Kind::name || !consistent(path, backup, followed.next);
        if (!searching) break;
    }
    const auto elsewhere = on_another_timeline(view, wal, request);
    throw Error(ErrorKind::refused, refusal->text, elsewhere.empty() ? refusal->hint : elsewhere);
}

namespace {

/// Takes the commits of a note into account. True when it has one behind the moment.
bool narrow(Bracket& bracket, const archive::WalNote& note, const MomentTarget& target) {
    std::vector<archive::NotedEnd> commits;
    if (note.first_commit) commits.push_back(*note.first_commit);
    commits.insert(commits.end(), note.samples.begin(), note.samples.end());
    if (note.last_commit) commits.push_back(*note.last_commit);
    for (const auto& commit : commits) {
        const bool behind = target.kind == Kind::time ? commit.time > target.time : commit.end > target.lsn;
        (behind ? bracket.before : bracket.after) = commit;
        if (behind) return true;
    }
    return false;
}

} // namespace

Bracket bracket_of(const ArchiveView& view, MomentWal& wal, pg::TimelineId timeline, const MomentTarget& target) {
    const TimelinePath path(view, timeline);
    std::set<std::uint64_t> numbers;
    for (const auto& segment : view.segments) {
        if (path.segment(segment.number) == segment) numbers.insert(segment.number);
    }
    Bracket bracket;
    for (const auto number : numbers) {
        std::optional<pg::Segment> next;
        if (numbers.contains(number + 1)) next = path.segment(number + 1);
        const auto note = sound_note(wal, path.segment(number), next);
        if (note && narrow(bracket, *note, target)) break;
    }
    return bracket;
}

namespace {

Window window_of(const TimelinePath& path, MomentWal& wal, const BackupFacts& backup) {
    Window window{backup, {}, {}, {}, false};
    auto next = path.number_of(backup.start);
    const auto first = next;
    while (path.has(next)) ++next;
    const auto last = path.last();
    if (last && *last > next) window.missing = path.name(next);
    // Backwards: the last commit is mostly in the last segment. One that is damaged leads no further than none.
    for (auto number = next; number > first && consistent(path, backup, next) && !window.last_commit; --number) {
        std::optional<pg::Segment> behind;
        if (number < next) behind = path.segment(number);
        const auto note = sound_note(wal, path.segment(number - 1), behind);
        if (!note) {
            next = number - 1;
            window.missing = path.name(next);
            window.damaged = true;
        } else if (note->last_commit && note->last_commit->begin >= backup.start) {
            window.last_commit = note->last_commit;
        }
    }
    window.usable = next > first && consistent(path, backup, next);
    if (next > first) window.last_segment = path.name(next - 1);
    return window;
}

std::vector<TimelineWindows::Gap> gaps_of(const TimelinePath& path, std::uint64_t from) {
    std::vector<TimelineWindows::Gap> gaps;
    const auto last = path.last();
    bool within = false;
    for (auto number = from; last && number < *last; ++number) {
        const bool missing = !path.has(number);
        const auto name = path.name(number);
        if (missing && !within) gaps.push_back({name, name, 0});
        if (missing) {
            gaps.back().last = name;
            ++gaps.back().segments;
        }
        within = missing;
    }
    return gaps;
}

} // namespace

std::vector<TimelineWindows> restorable_windows(const ArchiveView& view, MomentWal& wal) {
    std::vector<TimelineWindows> all;
    for (const auto& [timeline, history] : view.histories) {
        const TimelinePath path(view, timeline);
        TimelineWindows windows{timeline, {}, {}};
        auto from = UINT64_MAX;
        for (const auto& backup : view.backups) {
            if (!path.leads_through(backup)) continue;
            windows.windows.push_back(window_of(path, wal, backup));
            from = std::min(from, path.number_of(backup.start));
        }
        std::ranges::sort(windows.windows, {}, [](const Window& window) { return window.backup.start; });
        if (from != UINT64_MAX) windows.gaps = gaps_of(path, from);
        all.push_back(std::move(windows));
    }
    return all;
}

} // namespace walgd::backup
