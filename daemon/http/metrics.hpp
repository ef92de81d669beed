#pragma once
#include "daemon/http/archive_metrics.hpp"
#include "daemon/status.hpp"

#include <string>

namespace walgd::daemon {

/// What Prometheus reads, in its text format 0.0.4: walgd's own state, then the archive under the names of WAL-G's exporter and
/// of the exporters that people use with WAL-G. Asks no storage and no server: it tells what is known.
std::string metrics_text(const StatusSources& sources, BackupSeries& backups);

} // namespace walgd::daemon
