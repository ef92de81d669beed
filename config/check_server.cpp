#include "config/check_server.hpp"

#include "common/archive/wal/wal_push.hpp"
#include "common/backup/push/backup_push.hpp"
#include "common/pg/base_backup.hpp"
#include "common/pg/server.hpp"
#include "config/setup.hpp"

#include <fmt/format.h>

namespace walgd::config {

namespace {

constexpr auto archiving = "PostgreSQL: archiving";

std::string connected(const pg::ServerFacts& facts) {
    return fmt::format("version {}.{}, system {}, {} MiB segments, page checksums {}{}", facts.version_num / 10000,
                       facts.version_num % 10000, facts.system.number(), facts.segment_bytes >> 20,
                       facts.data_checksums ? "on" : "off", facts.in_recovery ? ", a standby" : "");
}

/// Whose WAL the archive holds is asked of the archive, without claiming an empty one.
std::string check_owner(archive::Archive& archive, const pg::ServerFacts& facts) {
    const auto owner = run_blocking(archive.io, archive::archive_system(archive));
    if (!owner) return "it is empty: what is pushed first makes it that cluster's";
    if (*owner != facts.system)
        throw Error(ErrorKind::refused,
                    fmt::format("the archive {} belongs to the cluster {}, the connected server is the cluster {}",
                                archive.storage.describe(), owner->number(), facts.system.number()),
                    "archive this cluster under another prefix; or, if it is the same cluster after pg_upgrade, let the archive "
                    "take it: walg adopt-system --confirm");
    return "it is the connected server's";
}

void check_archiving(pg::Server& server, const pg::ServerFacts& facts, Checks& checks) {
    const auto& how = facts.archive_library.empty() ? facts.archive_command : facts.archive_library;
    const auto* name = facts.archive_library.empty() ? "archive_command" : "archive_library";
    checks.run(archiving, [&] { return fmt::format("archive_mode {}, {} '{}'", facts.archive_mode, name, how); });
    if (server.value("show wal_level") == "minimal")
        checks.warn(archiving,
                    "wal_level is minimal: no backup can be taken, and with archive_mode = on PostgreSQL would not start: "
                    "set wal_level = replica, too");
    if (facts.archive_mode == "off")
        checks.warn(archiving, "no WAL will come: set archive_mode = on and restart PostgreSQL");
    else if (facts.in_recovery && facts.archive_mode != "always")
        checks.warn(archiving, "a standby sends no WAL with this archive_mode: its primary has to archive here");
    else if (how.find("walg-push") == std::string::npos && how.find("wal-g") == std::string::npos)
        checks.warn(archiving, fmt::format("{} does not name walg-push: set archive_command = 'walg-push \"%p\"'", name));
}

std::string check_rights(pg::Server& server, const pg::ServerFacts& facts) {
    const auto functions =
        facts.version_num >= 150000
            ? std::vector<std::string>{"pg_backup_start(text,boolean)", "pg_backup_stop(boolean)"}
            : std::vector<std::string>{"pg_start_backup(text,boolean,boolean)", "pg_stop_backup(boolean,boolean)"};
    for (const auto& function : functions) {
        if (server.value(fmt::format("select has_function_privilege('{}', 'execute')", function)) != "t")
            throw Error(ErrorKind::denied,
                        fmt::format("the user {} may not call {}", server.value("select current_user"), function),
                        fmt::format("grant execute on function {} to it, in database {}", function,
                                    server.value("select current_database()")));
    }
    return fmt::format("the user {} may start and stop one", server.value("select current_user"));
}

/// Of backups that the server sends.
std::string check_sending(const Settings& settings) {
    const auto stream = pg::BaseBackup::connect(connection_options(settings));
    return fmt::format("the server sends one when it is asked ({})", stream->name());
}

} // namespace

void check_server(const Settings& settings, archive::Archive& archive, Checks& checks) {
    std::unique_ptr<pg::Server> server;
    pg::ServerFacts facts;
    const bool there = checks.run("PostgreSQL: connection", [&] {
        server = pg::Server::connect(connection_options(settings));
        facts = server->facts();
        return connected(facts);
    });
    if (!there) return;
    const auto pgdata = settings.text("pgdata");
    checks.run("PostgreSQL: data directory", [&]() -> std::string {
        if (pgdata.empty()) return "none is named: the server sends backups itself (BASE_BACKUP)";
        return fmt::format("{} is the connected server's, and can be read", backup::checked_pgdata(pgdata, facts));
    });
    check_archiving(*server, facts, checks);
    checks.run("PostgreSQL: archive's owner", [&] { return check_owner(archive, facts); });
    checks.run("PostgreSQL: backup rights",
               [&] { return pgdata.empty() ? check_sending(settings) : check_rights(*server, facts); });
}

} // namespace walgd::config
