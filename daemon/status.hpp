#pragma once
#include "daemon/archive_watch.hpp"
#include "daemon/jobs.hpp"
#include "daemon/schedule/scheduler.hpp"
#include "daemon/socket/server.hpp"
#include "daemon/wal/look_ahead.hpp"
#include "daemon/wal/wal_service.hpp"

#include <string>

namespace walgd::daemon {

/// The parts that a status is made from; they outlive it.
struct StatusSources {
    archive::Archive& archive;
    WalService& wal;
    const LookAhead& look_ahead;
    const Jobs& jobs;
    ClientCounters clients;
    std::chrono::system_clock::time_point started;
    const Scheduler& scheduler;
    const ArchiveWatch& archive_watch;
    std::optional<std::chrono::system_clock::time_point> http_certificate_end; ///< nothing: it has none
};

/// What `walg status` shows, as text for a person or as JSON.
std::string status_text(const StatusSources& sources, bool json);

} // namespace walgd::daemon
