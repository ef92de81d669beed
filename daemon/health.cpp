#include "daemon/health.hpp"

#include "common/base/time_text.hpp"

#include <fmt/format.h>

namespace walgd::daemon {

std::vector<std::string> not_ready_because(const storage::StorageHealth::Report& storage, const WalCounters& wal,
                                           std::chrono::steady_clock::time_point now) {
    std::vector<std::string> reasons;
    if (storage.state == storage::StorageHealth::State::failing)
        reasons.push_back(fmt::format("the storage fails since {}: {}. {}", time_or_dash(storage.since), storage.trouble,
                                      storage.hint.empty() ? "walgd --check tells more" : storage.hint));
    if (wal.error_moment > wal.pushed_moment && now - wal.error_moment < failure_counts)
        reasons.push_back(fmt::format("the last WAL request failed at {}: {}", time_or_dash(wal.last_error_at), wal.last_error));
    return reasons;
}

} // namespace walgd::daemon
