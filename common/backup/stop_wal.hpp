#pragma once
#include "common/archive/archive.hpp"
#include "common/pg/server.hpp"

#include <chrono>
#include <stop_token>
#include <string>

namespace walgd::backup {

/// Returns when the archive holds `segment`, the last one that a backup needs. Error(refused) that says what PostgreSQL's
/// archiver is doing when it does not come within `limit`.
void wait_for_wal(archive::Archive& archive, pg::Server& server, const std::string& segment, std::chrono::seconds limit,
                  std::stop_token stop);

} // namespace walgd::backup
