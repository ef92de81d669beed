#include "common/backup/push/change_source.hpp"

#include "common/base/files.hpp"
#include "common/base/mapped_file.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

/// PostgreSQL's summarizer sleeps for up to 30 s when there was little WAL, and it tells nobody when it wakes.
constexpr std::chrono::seconds patience{40};
constexpr std::chrono::milliseconds look_every{100};

std::vector<pg::WalSummary> summaries_in(const std::string& folder) {
    std::vector<pg::WalSummary> found;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
        if (const auto summary = pg::parse_summary_name(entry.path().filename().string())) found.push_back(*summary);
    }
    std::ranges::sort(found);
    return found;
}

/// Those of all pieces, in the order of the WAL; nothing if there is a gap.
std::optional<std::vector<pg::WalSummary>> complete(const std::vector<pg::WalSummary>& there, const ChangeRange& range) {
    std::vector<pg::WalSummary> chosen;
    for (const auto& piece : range.pieces()) {
        const auto part = pg::covering(there, piece);
        if (!part) return std::nullopt;
        chosen.insert(chosen.end(), part->begin(), part->end());
    }
    return chosen;
}

} // namespace

FoundChanges changes_by_summaries(archive::Archive& archive, pg::Server& server, const std::string& pgdata,
                                  const ChangeRange& range, std::stop_token stop) {
    if (server.value("select coalesce(current_setting('summarize_wal', true), 'off')") != "on")
        return {{}, "summarize_wal is off"};
    const auto folder = pgdata + "/pg_wal/summaries";
    auto there = summaries_in(folder);
    // What is missing at the front will never come.
    const auto first = range.pieces().front();
    const bool begun = std::ranges::any_of(there, [&first](const pg::WalSummary& summary) {
        return summary.timeline == first.timeline && summary.start <= first.start && summary.end > first.start;
    });
    if (!begun && !there.empty() && there.back().end > first.start)
        return {{}, fmt::format("the WAL summaries do not go back to {}", first.start.text())};
    auto chosen = complete(there, range);
    for (auto quiet = std::chrono::steady_clock::now(); !chosen;) {
        if (std::chrono::steady_clock::now() - quiet > patience)
            return {{},
                    fmt::format("the WAL summaries in {} do not lead from {} to {}", folder, range.from.text(), range.to.text())};
        run_blocking(archive.io, sleep_for(look_every), stop);
        auto now = summaries_in(folder);
        if (now != there) quiet = std::chrono::steady_clock::now();
        there = std::move(now);
        chosen = complete(there, range);
    }
    FoundChanges found;
    found.changes.emplace();
    try {
        for (const auto& summary : *chosen) {
            const auto path = folder + "/" + pg::summary_name(summary);
            const MappedFile file(open_file(path, O_RDONLY | O_CLOEXEC), path);
            pg::read_wal_summary(file.view(), path, *found.changes);
        }
    } catch (const Error& error) {
        return {{}, error.what()};
    }
    return found;
}

} // namespace walgd::backup
