#include "common/backup/restore/catchup_target.hpp"

#include "common/backup/timeline_source.hpp"
#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

[[noreturn]] void refuse(std::string cause, const std::string& next) {
    throw Error(ErrorKind::refused, std::move(cause), "nothing was written; " + next);
}

void require_same_kind(const std::string& folder, const pg::ControlFile& control, const CatchupFacts& backup) {
    if (control.catalog_version != backup.control.catalog_version)
        refuse(fmt::format("{} is of another version of PostgreSQL than {} (catalog versions {} and {})", folder, backup.backup,
                           control.catalog_version, backup.control.catalog_version),
               "take the standby anew: walg backup-fetch, or pg_basebackup");
    if (control.data_checksum_version != backup.control.data_checksum_version)
        refuse(fmt::format("page checksums are {} in {} and {} in {}", control.data_checksum_version != 0 ? "on" : "off", folder,
                           backup.control.data_checksum_version != 0 ? "on" : "off", backup.backup),
               "turn them on or off in the standby first: pg_checksums");
}

/// What a server wrote by itself is in no other's history; how far a primary came, its pg_control does not tell.
void require_standby(const std::string& folder, const pg::ControlFile& control) {
    if (control.state == pg::ControlFile::shut_down_in_recovery || control.state == pg::ControlFile::in_archive_recovery) return;
    refuse(fmt::format("{} was no standby when it stopped", folder),
           "start it as one first (standby.signal); what has left the primary's history goes back to it with pg_rewind");
}

void require_own_history(const std::string& folder, const pg::ControlFile& control, pg::Lsn reached, const CatchupFacts& backup) {
    if (control.timeline == backup.history.timeline) return;
    const auto past = std::ranges::find(backup.history.past, control.timeline, &pg::PastTimeline::timeline);
    if (past == backup.history.past.end())
        refuse(fmt::format("{} is on timeline {}, which is not in the history of timeline {}, of {}", folder,
                           control.timeline.number(), backup.history.timeline.number(), backup.backup),
               "pg_rewind brings it back to the primary's history");
    if (reached > past->end)
        refuse(fmt::format("{} came to {} on timeline {}, which the server of {} left before, at {}", folder, reached.text(),
                           control.timeline.number(), backup.backup, past->end.text()),
               "pg_rewind brings it back to the primary's history");
}

} // namespace

CatchupFacts catchup_facts(archive::Archive& archive, const RestorePlan& plan, const std::string& folder,
                           const pg::ControlFile& standby, std::stop_token stop) {
    const auto timeline = archive::timeline_of(plan.name());
    if (!plan.control || !timeline)
        throw Error(ErrorKind::corrupt, fmt::format("{} has no pg_control, or no timeline in its name", plan.name()),
                    "take another one with: walg catchup-push");
    CatchupFacts facts{plan.name(), plan.sentinel().delta->lsn, *plan.sentinel().finish_lsn, {*timeline, {}}, *plan.control};
    if (standby.timeline != *timeline) facts.history = read_history(archive, folder, *timeline, std::move(stop));
    return facts;
}

void require_lagging_standby(const std::string& folder, const pg::ControlFile& control, const CatchupFacts& backup) {
    require_same_kind(folder, control, backup);
    require_standby(folder, control);
    if (control.redo < backup.from)
        refuse(
            fmt::format("{} has on its disk what was changed before {}, {} what was changed since {}: between them pages would "
                        "be missing",
                        folder, control.redo.text(), backup.backup, backup.from.text()),
            fmt::format("take one for this standby, on its primary: walg catchup-push PGDATA --from-lsn {}",
                        control.redo.bytes()));
    const auto reached = std::max({control.redo, control.checkpoint, control.min_recovery});
    require_own_history(folder, control, reached, backup);
    if (reached > backup.finish)
        refuse(fmt::format("{} is at {} already, {} ends at {}", folder, reached.text(), backup.backup, backup.finish.text()),
               "start it: if its primary has no WAL for it any more, take a new catchup backup");
}

} // namespace walgd::backup
