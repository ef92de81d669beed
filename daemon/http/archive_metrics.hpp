#pragma once
#include "daemon/archive_view.hpp"
#include "daemon/http/metric_families.hpp"

namespace walgd::daemon {

/// The archive under the names of WAL-G's own exporter, of camptocamp's and of thedatabaseme's (their meaning is told in the
/// README's table of metrics), but for what each base backup has. Nothing before the first look.
void add_archive(MetricFamilies& all, const ArchiveView& view, std::chrono::system_clock::time_point now);

/// The series that each base backup has, as text. Kept from one look to the next: a thousand backups have seven thousand.
class BackupSeries {
public:
    const std::string& text(const ArchiveView& view);

private:
    std::chrono::system_clock::time_point at_{};
    std::string text_;
};

} // namespace walgd::daemon
