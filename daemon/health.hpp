#pragma once
#include "common/storage/health/storage_health.hpp"
#include "daemon/wal/wal_service.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace walgd::daemon {

/// So long a failure that nothing followed is told: what is not asked for again nobody waits for, and PostgreSQL tries again
/// within a minute.
inline constexpr std::chrono::minutes failure_counts{5};

/// Why walgd is not doing what it is for; empty when it is. Each is a sentence with what to do. Decides only.
std::vector<std::string> not_ready_because(const storage::StorageHealth::Report& storage, const WalCounters& wal,
                                           std::chrono::steady_clock::time_point now);

} // namespace walgd::daemon
