#include "common/backup/push/stop_wal.hpp"

#include "common/archive/wal/wal_stored.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

constexpr std::chrono::milliseconds first_pause{50}, longest_pause{3000};
constexpr std::chrono::seconds word_every{30};

/// What to do when the stop WAL of a standby is long in coming: nobody but the primary can close and archive the segment.
constexpr auto on_standby = "the primary archives it when it is full, after archive_timeout, or at once with "
                            "\"select pg_switch_wal()\" there";

std::string archiver_state(pg::Server& server) {
    const auto rows =
        server.rows("select coalesce(last_archived_wal, 'nothing'), coalesce(last_failed_wal, ''), "
                    "coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) from pg_stat_archiver");
    if (rows.empty() || rows.front().size() < 3) return "PostgreSQL says nothing of its archiver";
    const auto& row = rows.front();
    return fmt::format("PostgreSQL archived {} last{}", row[0], row[2] == "t" ? fmt::format(" and fails with {}", row[1]) : "");
}

} // namespace

void wait_for_wal(archive::Archive& archive, pg::Server& server, const std::string& segment, const StopWalOptions& options,
                  std::stop_token stop) {
    const auto begin = std::chrono::steady_clock::now();
    auto state = [&] { return options.from_standby ? std::string(on_standby) : archiver_state(server); };
    // A quiet primary may leave its segment open for hours: that is told at once.
    auto next_word = options.from_standby ? begin : begin + word_every;
    auto pause = first_pause;
    archive::StoredWal stored(archive);
    while (!run_blocking(archive.io, stored.find_before_put(segment, true), stop)) {
        const auto now = std::chrono::steady_clock::now();
        if (now - begin > options.limit)
            throw Error(ErrorKind::refused,
                        fmt::format("the backup needs WAL {}, which did not reach {} within {} s; {}", segment,
                                    archive.storage.describe(), options.limit.count(), state()),
                        options.from_standby
                            ? "does the primary archive into this archive?"
                            : "see the server's log for why archive_command fails; does it push into this archive?");
        if (now >= next_word) {
            archive.log.info("waiting for WAL {} to reach the archive; {}", segment, state());
            next_word = now + word_every;
        }
        run_blocking(archive.io, sleep_for(pause), stop);
        pause = std::min(pause * 2, longest_pause);
    }
}

} // namespace walgd::backup
