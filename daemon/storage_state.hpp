#pragma once
#include "common/base/log.hpp"
#include "common/storage/failover/aliveness.hpp"
#include "common/storage/health/storage_health.hpp"

#include <functional>
#include <nlohmann/json_fwd.hpp>

namespace walgd::daemon {

/// For the status: {"state", "since", "failures", "trouble", "hint", "trouble_at"}; {} when nobody watches.
nlohmann::ordered_json storage_state_json(const storage::StorageHealth* health);

/// For the status, where there are several storages: each name with what can be done with it; {} where there is one.
nlohmann::ordered_json storages_json(const storage::Aliveness* members);

/// Logs the turns: storage_failing, storage_slow (a line in a minute at most, where answers just take long) and storage_answers.
std::function<void(const storage::StorageHealth::Report& before, const storage::StorageHealth::Report& now)>
storage_state_logger(Log& log);

} // namespace walgd::daemon
