#pragma once
#include "daemon/jobs.hpp"
#include "daemon/server.hpp"
#include "daemon/wal_service.hpp"

#include <string>

namespace walgd::daemon {

/// What `walg status` shows, as text for a person or as JSON.
std::string status_text(archive::Archive& archive, WalService& wal, const Jobs& jobs, const ClientCounters& clients,
                        std::chrono::system_clock::time_point started, bool json);

} // namespace walgd::daemon
