#pragma once
#include "common/archive/archive.hpp"
#include "common/pg/server.hpp"
#include "common/pg/wal_name.hpp"

#include <chrono>
#include <stop_token>

namespace walgd::backup {

/// The WAL that a backup ends in.
struct StopWal {
    pg::SystemIdentifier system{0};
    pg::TimelineId timeline{1};
    pg::Lsn start{0}, stop{0}; ///< of the backup
    std::uint64_t segment_bytes = pg::segment_bytes_default;
};

struct StopWalOptions {
    std::chrono::seconds limit{3600};
    bool from_standby = false; ///< then the primary archives, not `server`, and no record tells the end of the backup
};

/// Returns when the archive holds the last segment that a backup needs, and that is this server's: another one of the same
/// system, a copy, may have stored its own under the name. Error(refused) that says what PostgreSQL's archiver is doing, or what
/// the primary should, when it does not come within the limit.
void wait_for_wal(archive::Archive& archive, pg::Server& server, const StopWal& wal, const StopWalOptions& options,
                  std::stop_token stop);

} // namespace walgd::backup
