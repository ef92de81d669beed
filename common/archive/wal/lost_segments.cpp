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

std::vector<std::string> lost_segments(const std::vector<std::string>& called, const WalCatalogue& wal, std::uint64_t first) {
    std::vector<std::string> lost;
    for (const auto& name : called) {
        const auto segment = pg::parse_segment(name, wal.segment_bytes);
        if (segment && segment->number >= first && !wal.has(*segment)) lost.push_back(name);
    }
    std::ranges::sort(lost);
    return lost;
}

} // namespace walgd::archive
