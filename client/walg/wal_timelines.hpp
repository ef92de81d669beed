#pragma once
#include "common/archive/catalogue.hpp"
#include "common/archive/wal/wal_catalogue.hpp"
#include "common/pg/timeline_history.hpp"

#include <optional>
#include <string>
#include <vector>

/// WAL by timeline, as wal-show prints it.
namespace walgd::cli {

/// One timeline as it is printed. The catalogue and the backups must outlive it.
struct ShownTimeline {
    const archive::WalTimeline* wal = nullptr;
    std::optional<pg::PastTimeline> parent;               ///< and where it was left
    std::vector<const archive::BackupDetails*> backups{}; ///< of its segments, in the order given
    std::string start{}, end{};                           ///< segment names
    std::uint64_t range = 0;
    std::string_view status() const { return wal->runs.size() == 1 ? "OK" : "LOST_SEGMENTS"; }
};
ShownTimeline shown_timeline(const archive::WalTimeline& timeline, std::uint64_t segment_bytes,
                             std::optional<pg::PastTimeline> parent, const std::vector<archive::BackupDetails>& backups);

/// How timelines are printed.
struct TimelinePrint {
    std::uint64_t segment_bytes;
    bool json = false, with_backups = false;
    bool as_walg = false; ///< without what only we tell, and without colours
};
/// To stdout.
void print_timelines(const std::vector<ShownTimeline>& timelines, const TimelinePrint& how);

} // namespace walgd::cli
