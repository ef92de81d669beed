#pragma once
#include "common/pg/timeline_history.hpp"

#include <optional>

namespace walgd::pg {

/// Where the WAL of two clusters of one origin parts, as pg_rewind finds it (findCommonAncestorTimeline): the end of the last
/// timeline that both have. Nothing when both are on the same timeline. Error(refused) when they have none in common.
std::optional<Lsn> divergence(const TimelineHistory& one, const TimelineHistory& other);

} // namespace walgd::pg
