#include "common/archive/wal/lost_segments.hpp"

#include <algorithm>
#include <filesystem>
#include <unistd.h>

namespace walgd::archive {

namespace fs = std::filesystem;

std::optional<std::vector<std::string>> segments_called_archived(const std::string& pgdata) {
    constexpr std::string_view done = ".done";
    for (const auto* name : {"/standby.signal", "/recovery.signal"}) {
        if (::access((pgdata + name).c_str(), F_OK) == 0) return std::nullopt;
    }
    std::error_code error;
    std::vector<std::string> names;
    fs::directory_iterator entry(pgdata + "/pg_wal/archive_status", error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
        auto name = entry->path().filename().string();
        if (!name.ends_with(done)) continue;
        name.resize(name.size() - done.size());
        if (pg::wal_file_kind(name) == pg::WalFileKind::segment) names.push_back(std::move(name));
    }
    if (pgdata.empty() || error) return std::nullopt;
    return names;
}

namespace {

/// The first stored segment behind a backup's own, of its timeline or a later one; the highest number of all where there is none.
std::uint64_t stored_behind(const WalCatalogue& wal, const BackupWal& backup) {
    const auto last = backup.own.last;
    std::uint64_t first = UINT64_MAX;
    for (auto timeline = wal.timelines.lower_bound(backup.timeline); timeline != wal.timelines.end(); ++timeline) {
        const auto& runs = timeline->second.runs;
        const auto run = std::ranges::find_if(runs, [last](const SegmentRun& one) { return one.last > last; });
        if (run != runs.end()) first = std::min(first, std::max(run->first, last + 1));
    }
    return first;
}

bool may_be_deleted(std::uint64_t number, const WalCatalogue& wal, const std::vector<BackupWal>& backups) {
    const BackupWal* before = nullptr;
    const BackupWal* behind = nullptr;
    for (const auto& backup : backups) {
        const auto& [first, last] = backup.own;
        if (first <= number && number <= last) return false;
        if (last < number && (before == nullptr || before->own.last < last)) before = &backup;
        if (first > number && (behind == nullptr || behind->own.first > first)) behind = &backup;
    }
    if (before == nullptr || behind == nullptr) return behind != nullptr;
    // Of the one behind, the segment before its own may be there.
    return before->alone && stored_behind(wal, *before) >= behind->own.first - 1;
}

} // namespace

std::vector<std::string> lost_segments(const std::vector<std::string>& called, const WalCatalogue& wal,
                                       const std::vector<BackupWal>& backups) {
    std::vector<std::string> lost;
    for (const auto& name : called) {
        const auto segment = pg::parse_segment(name, wal.segment_bytes);
        if (!segment || wal.has(*segment)) continue;
        if (!may_be_deleted(segment->number, wal, backups)) lost.push_back(name);
    }
    std::ranges::sort(lost);
    return lost;
}

} // namespace walgd::archive
