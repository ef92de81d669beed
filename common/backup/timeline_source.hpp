#pragma once
#include "common/archive/archive.hpp"
#include "common/pg/timeline_history.hpp"

#include <stop_token>
#include <string>

namespace walgd::backup {

/// The history of `timeline`: from the server's pg_wal, else from the archive. Timeline 1 has none; Error(corrupt) when another
/// one's is in neither.
pg::TimelineHistory read_history(archive::Archive& archive, const std::string& pgdata, pg::TimelineId timeline,
                                 std::stop_token stop);

} // namespace walgd::backup
