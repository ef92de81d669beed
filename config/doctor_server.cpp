#include "common/archive/wal/wal_find.hpp"
#include "common/archive/wal/wal_push.hpp"
#include "common/backup/push/backup_push.hpp"
#include "common/pg/server.hpp"
#include "config/doctor.hpp"
#include "config/setup.hpp"

#include <cerrno>
#include <fmt/format.h>
#include <unistd.h>

namespace walgd::config {

namespace {

constexpr int oldest_version = 13, newest_version = 18;
constexpr std::uint64_t slot_bytes_max = 1ULL << 30;
constexpr int ready_files_max = 16;

class ServerExamination {
public:
    ServerExamination(pg::Server& server, std::vector<Finding>& findings)
        : server_(server), facts_(server.facts()), findings_(findings) {}

    void run() {
        version();
        archiving();
        if (server_.value("show wal_level") == "minimal")
            find(Weight::broken, "wal_level is minimal: its WAL cannot be recovered by",
                 "set wal_level = replica and restart PostgreSQL");
        if (server_.value("show archive_timeout") == "0")
            find(Weight::warning, "archive_timeout is 0: a quiet server keeps its last WAL to itself until the segment is full",
                 "set archive_timeout = 60s or so, or stream with walg wal-receive");
        archiver();
        slots();
        if (!facts_.data_checksums)
            find(Weight::note, "the cluster has no page checksums: a damaged page is found only when it is read",
                 "pg_checksums --enable, with the server stopped");
    }
    const pg::ServerFacts& facts() const { return facts_; }

private:
    void find(Weight weight, const std::string& text, const std::string& todo) {
        findings_.push_back({weight, "PostgreSQL", text, todo});
    }

    void version() {
        const auto major = facts_.version_num / 10000;
        if (major < oldest_version || major > newest_version)
            find(Weight::warning,
                 fmt::format("version {} is none that walgd was tested with ({} to {})", major, oldest_version, newest_version),
                 "try a restore before you rely on it");
    }

    void archiving() {
        const auto& how = facts_.archive_library.empty() ? facts_.archive_command : facts_.archive_library;
        if (facts_.archive_mode == "off")
            find(Weight::broken, "archive_mode is off: no WAL is archived",
                 "set archive_mode = on and restart PostgreSQL; or run walg wal-receive");
        else if (how.empty() || how == "(disabled)")
            find(Weight::broken, "archive_command is empty: WAL piles up in pg_wal", "set archive_command = 'walg-push \"%p\"'");
        else if (both_ways())
            find(Weight::broken, "archive_command and archive_library are both set: it archives nothing",
                 "set archive_library = '', or archive_command = ''");
        else if (how.find("walg-push") == std::string::npos && how.find("wal-g") == std::string::npos &&
                 how.find("walg") == std::string::npos)
            find(Weight::warning,
                 fmt::format("{} '{}' names neither walg-push nor wal-g",
                             facts_.archive_library.empty() ? "archive_command" : "archive_library", how),
                 facts_.archive_library.empty() ? "set archive_command = 'walg-push \"%p\"'"
                                                : "set archive_command = 'walg-push \"%p\"', and archive_library = ''");
        if (facts_.in_recovery && facts_.archive_mode == "on")
            find(Weight::note, "it is a standby, and archives nothing with archive_mode = on",
                 "its primary has to archive here, or set it to always");
    }

    /// PostgreSQL 15 goes by the library then.
    bool both_ways() const {
        constexpr int refuses_both = 160000;
        return facts_.version_num >= refuses_both && !facts_.archive_library.empty() && !facts_.archive_command.empty() &&
               facts_.archive_command != "(disabled)";
    }

    void archiver() {
        const auto rows =
            server_.rows("select last_failed_wal, failed_count, coalesce(last_failed_time::text, ''), "
                         "coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) from pg_stat_archiver");
        if (!rows.empty() && rows[0][3] == "t")
            find(Weight::broken,
                 fmt::format("its archiver fails: {} at {}, {} failures in all", rows[0][0], rows[0][2], rows[0][1]),
                 "walg-push says why in PostgreSQL's log; walg status tells how the storage does");
        const auto waiting = std::stoi(server_.value("select count(*) from pg_ls_archive_statusdir() where name like '%.ready'"));
        if (waiting > ready_files_max)
            find(Weight::warning, fmt::format("{} WAL files wait to be archived", waiting),
                 "is the storage slow, or walgd not running? walg status");
    }

    void slots() {
        const auto* now = facts_.in_recovery ? "pg_last_wal_replay_lsn()" : "pg_current_wal_lsn()";
        const auto rows =
            server_.rows(fmt::format("select slot_name, active, coalesce(pg_wal_lsn_diff({}, restart_lsn), 0)::bigint, "
                                     "coalesce(wal_status, '') from pg_replication_slots",
                                     now));
        for (const auto& row : rows) {
            const auto held = std::stoll(row[2]);
            if (row[3] == "lost")
                find(Weight::warning, fmt::format("slot {} has lost WAL that its reader needs", row[0]),
                     "its reader has to begin anew; drop the slot");
            else if (row[1] == "f" && held > static_cast<std::int64_t>(slot_bytes_max))
                find(Weight::warning, fmt::format("slot {} has no reader and holds {} MiB of WAL", row[0], held >> 20),
                     "start its reader, or drop it: select pg_drop_replication_slot(...); bound it with max_slot_wal_keep_size");
        }
    }

    pg::Server& server_;
    pg::ServerFacts facts_;
    std::vector<Finding>& findings_;
};

awaitable<bool> is_stored(archive::WalFinder& finder, std::string name) {
    const auto found = co_await finder.find(name);
    co_return found.has_value();
}

/// Whether the archive has what the server archived last. For where its data directory cannot be read.
void last_archived(pg::Server& server, archive::Archive& archive, std::vector<Finding>& findings) {
    const auto name = server.value("select coalesce(last_archived_wal, '') from pg_stat_archiver where not pg_is_in_recovery()");
    if (pg::wal_file_kind(name) != pg::WalFileKind::segment) return;
    archive::WalFinder finder(archive);
    if (run_blocking(archive.io, is_stored(finder, name))) return;
    findings.push_back({Weight::broken, "archive", fmt::format("PostgreSQL archived {} last, and the archive lacks it", name),
                        "does archive_command store here, and say 0 only then? SHOW archive_command; walg config"});
}

/// That a backup of this host's files would be one of that server.
void data_directory(const Settings& settings, const pg::ServerFacts& facts, std::vector<Finding>& findings) {
    const auto pgdata = settings.text("pgdata");
    if (pgdata.empty()) return;
    try {
        backup::checked_pgdata(pgdata, facts);
    } catch (const Error& error) {
        // Another user may be meant to read it.
        const bool may_look = ::access((pgdata + "/global").c_str(), R_OK | X_OK) == 0 || errno != EACCES;
        findings.push_back(
            {may_look ? Weight::broken : Weight::warning, "pgdata", fmt::format("no backup can be taken: {}", error.what()),
             error.hint().empty() ? fmt::format("pgdata is {} ({})", pgdata, settings.source("pgdata")) : error.hint()});
    }
}

} // namespace

void examine_server(const Settings& settings, archive::Archive& archive, std::vector<Finding>& findings) {
    const auto server = pg::Server::connect(connection_options(settings));
    ServerExamination examination(*server, findings);
    examination.run();
    data_directory(settings, examination.facts(), findings);
    last_archived(*server, archive, findings);
    const auto owner = run_blocking(archive.io, archive::archive_system(archive));
    if (owner && *owner != examination.facts().system)
        findings.push_back({Weight::broken, "archive",
                            fmt::format("{} belongs to the cluster {}, the server is the cluster {}", archive.storage.describe(),
                                        owner->number(), examination.facts().system.number()),
                            "another prefix for this cluster; or, after pg_upgrade, walg adopt-system --confirm"});
}

} // namespace walgd::config
