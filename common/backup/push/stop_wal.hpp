#pragma once
#include "common/archive/archive.hpp"
#include "common/pg/server.hpp"

#include <chrono>
#include <stop_token>
#include <string>

namespace walgd::backup {

struct StopWalOptions {
    std::chrono::seconds limit{3600};
    bool from_standby = false; ///< then the primary archives, not `server`
};

/// Returns when the archive holds `segment`, the last one that a backup needs. Error(refused) that says what PostgreSQL's
/// archiver is doing, or what the primary should, when it does not come within the limit.
void wait_for_wal(archive::Archive& archive, pg::Server& server, const std::string& segment, const StopWalOptions& options,
                  std::stop_token stop);

} // namespace walgd::backup
