#include "common/backup/push/stop_wal.hpp"

#include "common/archive/wal/stored_header.hpp"
#include "common/archive/wal/wal_stored.hpp"
#include "common/backup/restore/archive_wal.hpp"
#include "common/pg/record_data.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

constexpr std::chrono::milliseconds first_pause{50}, longest_pause{3000};
constexpr std::chrono::seconds word_every{30};
/// Another's WAL is replaced by `wal-g wal-push` alone, and soon.
constexpr std::chrono::seconds foreign_limit{60};

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

/// Looks for the record that pg_backup_stop() writes on a primary (XLOG_BACKUP_END): it tells where the backup began.
class EndOfBackup : public pg::RecordSink {
public:
    explicit EndOfBackup(pg::Lsn start) : start_(start) {}
    void record(const pg::RecordHeader& header, pg::Lsn, ByteView bytes) override {
        const bool ends_one = header.manager == pg::manager::xlog && (header.info & 0xF0U) == pg::xlog_kind::backup_end;
        const auto data = ends_one ? pg::main_data(bytes) : std::nullopt;
        if (data) found_ = found_ || pg::Lsn(pg::Fields(*data).take<std::uint64_t>()) == start_;
    }
    bool found() const { return found_; }

private:
    const pg::Lsn start_;
    bool found_ = false;
};

/// What shows that the WAL stored under the last segment's name is another server's; empty: nothing does. What this backup's key
/// does not read shows nothing.
std::string shown_foreign(archive::Archive& archive, const archive::StoredObject& stored, const StopWal& wal, bool from_standby,
                          std::stop_token stop) {
    if (archive.packing.cipher != nullptr && !archive.packing.cipher->can_decrypt()) return {};
    try {
        const auto header = run_blocking(archive.io, archive::stored_wal_header(archive, stored.key, stored.compression), stop);
        if (header && header->system != wal.system) return fmt::format("it is of the cluster {}", header->system.number());
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        archive.log.warn("{}, which the backup needs, cannot be read with its key: {}", stored.key.path(), error.what());
        return {};
    }
    constexpr std::uint64_t record_bytes = 64; // at most, with the header of a page in its midst
    const auto last = (wal.stop.bytes() - 1) / wal.segment_bytes;
    const auto first = (wal.stop.bytes() - std::min(wal.stop.bytes(), record_bytes)) / wal.segment_bytes;
    LoadedView view;
    view.view.segment_bytes = wal.segment_bytes;
    view.system = wal.system;
    ArchiveWal reader(archive, view, false, stop);
    EndOfBackup end(wal.start);
    try {
        const auto enough = [&] { return from_standby || end.found(); };
        reader.read({wal.timeline, last}, std::nullopt, pg::Wanted::all, end, enough);
        if (!enough() && first < last)
            reader.read({wal.timeline, first}, pg::Segment{wal.timeline, last}, pg::Wanted::all, end, enough);
        return enough() ? "" : fmt::format("it has no end of a backup that began at {}", wal.start.text());
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        return error.what();
    }
}

} // namespace

void wait_for_wal(archive::Archive& archive, pg::Server& server, const StopWal& wal, const StopWalOptions& options,
                  std::stop_token stop) {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    const auto segment =
        pg::segment_name({wal.timeline, pg::segment_number(pg::Lsn(wal.stop.bytes() - 1), wal.segment_bytes)}, wal.segment_bytes);
    auto state = [&] { return options.from_standby ? std::string(on_standby) : archiver_state(server); };
    // A quiet primary may leave its segment open for hours: that is told at once.
    auto next_word = options.from_standby ? begin : begin + word_every;
    auto pause = first_pause;
    std::optional<Clock::time_point> foreign_since;
    archive::StoredWal stored(archive);
    for (;;) {
        const auto there = run_blocking(archive.io, stored.find_before_put(segment, true), stop);
        const auto foreign = there ? shown_foreign(archive, *there, wal, options.from_standby, stop) : std::string();
        if (there && foreign.empty()) return;
        const auto now = Clock::now();
        if (there && !foreign_since) foreign_since = now;
        if (there && now - *foreign_since > std::min(options.limit, foreign_limit))
            throw Error(ErrorKind::refused,
                        fmt::format("the backup needs WAL {}, and what {} has under that name is not this server's: {}; {}",
                                    segment, archive.storage.describe(), foreign, state()),
                        "does a copy of this cluster archive into this archive too? Give each a prefix of its own, and take the "
                        "backup again");
        if (now - begin > options.limit)
            throw Error(ErrorKind::refused,
                        fmt::format("the backup needs WAL {}, which did not reach {} within {} s; {}", segment,
                                    archive.storage.describe(), options.limit.count(), state()),
                        options.from_standby
                            ? "does the primary archive into this archive?"
                            : "see the server's log for why archive_command fails; does it push into this archive?");
        if (now >= next_word) {
            archive.log.info("waiting for {}WAL {} to reach the archive{}; {}", there ? "this server's " : "", segment,
                             there ? ", which has another's under that name" : "", state());
            next_word = now + word_every;
        }
        run_blocking(archive.io, sleep_for(pause), stop);
        pause = std::min(pause * 2, longest_pause);
    }
}

} // namespace walgd::backup
