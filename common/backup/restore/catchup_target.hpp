#pragma once
#include "common/backup/restore/restore_plan.hpp"
#include "common/pg/control_file.hpp"
#include "common/pg/timeline_history.hpp"

#include <stop_token>
#include <string>

namespace walgd::backup {

/// What decides whether a catchup backup can bring a standby up.
struct CatchupFacts {
    std::string backup;
    pg::Lsn from{0};   ///< it has every page that changed since
    pg::Lsn finish{0}; ///< where it ends
    pg::TimelineHistory history;
    pg::ControlFile control; ///< its own
};

/// Of the backup's documents; and where the standby in `folder` is on another timeline, of the history in its pg_wal or the
/// archive.
CatchupFacts catchup_facts(archive::Archive& archive, const RestorePlan& plan, const std::string& folder,
                           const pg::ControlFile& standby, std::stop_token stop);

/// Error(refused), with what to do instead, unless `control` is that of a standby (`folder` names it in the error) which has
/// everything on its disk that the backup leaves out, and nothing that the backup's server never had or does not have yet.
void require_lagging_standby(const std::string& folder, const pg::ControlFile& control, const CatchupFacts& backup);

} // namespace walgd::backup
