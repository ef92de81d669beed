#pragma once
#include "common/pg/lsn.hpp"

#include <optional>
#include <string>

namespace walgd::backup {

/// Error(refused) unless `folder` holds a cluster of `system` that no server runs on. `unfinished`: a restore onto it was
/// begun, which took its pg_control away.
void require_stopped_cluster(const std::string& folder, std::optional<pg::SystemIdentifier> system, bool unfinished);

} // namespace walgd::backup
