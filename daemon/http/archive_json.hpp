#pragma once
#include "daemon/archive_view.hpp"

#include <nlohmann/json_fwd.hpp>

namespace walgd::daemon {

/// For the page: {"at", "trouble", "backup_count", "backups", "segments", "missing", "continuous", "valid_backups", "ranges",
/// "gaps", "windows"}. Of backups the newest, of ranges and gaps the first 200.
nlohmann::ordered_json archive_json(const ArchiveView& view);

} // namespace walgd::daemon
