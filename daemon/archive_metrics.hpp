#pragma once
#include "daemon/archive_view.hpp"
#include "daemon/metric_families.hpp"

namespace walgd::daemon {

/// The archive under the names of WAL-G's own exporter, of camptocamp's and of thedatabaseme's (their meaning is told in the
/// README's table of metrics). Nothing before the first look.
void add_archive(MetricFamilies& all, const ArchiveView& view, std::chrono::system_clock::time_point now);

} // namespace walgd::daemon
