#include "common/pg/server.hpp"

#include "common/base/error.hpp"
#include "common/pg/libpq.hpp"
#include "common/pg/wal_name.hpp"

#include <fmt/format.h>

namespace walgd::pg {

namespace {

/// Of what is written now. The last checkpoint's is older for a while: a promotion makes its first one without haste.
const std::string primary_timeline = "select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int";
/// pg_walfile_name() may not be asked on a standby.
const std::string standby_timeline =
    "select greatest(timeline_id, min_recovery_end_timeline) from pg_control_checkpoint(), pg_control_recovery()";

class LibpqServer : public Server {
public:
    LibpqServer(Connection connection, std::string name) : connection_(std::move(connection)), name_(std::move(name)) {}

    ServerFacts facts() override;
    std::vector<Tablespace> tablespaces() override;
    BackupStart start_backup(const std::string& label) override;
    BackupStop stop_backup() override;
    std::string value(const std::string& query) override;
    std::vector<std::vector<std::string>> rows(const std::string& query) override;
    void each_row(const std::string& query, const std::function<void(const std::vector<std::string>&)>& visit) override;
    void check_alive() override;

private:
    Result checked(Result result, const std::string& query);
    void check_same_standby();
    Result execute(const std::string& query, const std::vector<std::string>& parameters = {});
    std::string first(const Result& result, int column) { return PQgetvalue(result.get(), 0, column); }

    Connection connection_;
    std::string name_;
    bool started_in_recovery_ = false;
    std::uint32_t started_timeline_ = 0;
};

Result LibpqServer::execute(const std::string& query, const std::vector<std::string>& parameters) {
    std::vector<const char*> values;
    for (const auto& parameter : parameters) values.push_back(parameter.c_str());
    Result result(PQexecParams(connection_.get(), query.c_str(), static_cast<int>(values.size()), nullptr, values.data(), nullptr,
                               nullptr, 0));
    return checked(std::move(result), query);
}

Result LibpqServer::checked(Result result, const std::string& query) {
    const auto status = PQresultStatus(result.get());
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || status == PGRES_SINGLE_TUPLE) return result;
    refuse_result(fmt::format("the server refused \"{}\"", query.substr(0, 60)), name_, connection_.get(), result.get());
}

std::vector<std::string> cells_of(const Result& result, int row) {
    std::vector<std::string> cells;
    for (int column = 0; column < PQnfields(result.get()); ++column) cells.emplace_back(PQgetvalue(result.get(), row, column));
    return cells;
}

std::vector<std::vector<std::string>> LibpqServer::rows(const std::string& query) {
    const auto result = execute(query);
    std::vector<std::vector<std::string>> table;
    for (int row = 0; row < PQntuples(result.get()); ++row) table.push_back(cells_of(result, row));
    return table;
}

void LibpqServer::each_row(const std::string& query, const std::function<void(const std::vector<std::string>&)>& visit) {
    if (PQsendQuery(connection_.get(), query.c_str()) == 0)
        refuse("the server did not take a query", name_, PQerrorMessage(connection_.get()), "", false);
    PQsetSingleRowMode(connection_.get());
    while (Result result{PQgetResult(connection_.get())}) {
        result = checked(std::move(result), query);
        for (int row = 0; row < PQntuples(result.get()); ++row) visit(cells_of(result, row));
    }
}

std::string LibpqServer::value(const std::string& query) {
    const auto result = execute(query);
    if (PQntuples(result.get()) == 0)
        throw Error(ErrorKind::failed, fmt::format("the server ({}) answered \"{}\" with no row", name_, query.substr(0, 60)));
    return first(result, 0);
}

void LibpqServer::check_alive() {
    execute("select 1");
    if (started_in_recovery_) check_same_standby();
}

ServerFacts LibpqServer::facts() {
    ServerFacts facts;
    facts.version_num = static_cast<int>(number_of(value("show server_version_num"), "its version"));
    if (facts.version_num < 130000)
        throw Error(ErrorKind::refused,
                    fmt::format("PostgreSQL {} ({}) is older than 13, the oldest that base backups are taken of",
                                facts.version_num / 10000, name_));
    facts.data_directory = value("show data_directory");
    facts.system =
        SystemIdentifier(number_of(value("select system_identifier from pg_control_system()"), "its system identifier"));
    facts.in_recovery = value("select pg_is_in_recovery()") == "t";
    facts.timeline = TimelineId(
        static_cast<std::uint32_t>(number_of(value(facts.in_recovery ? standby_timeline : primary_timeline), "its timeline")));
    facts.segment_bytes = number_of(
        value("select setting::bigint * case unit when '8kB' then 8192 when 'MB' then 1048576 when 'kB' then 1024 else 1 end "
              "from pg_settings where name = 'wal_segment_size'"),
        "its WAL segment size");
    facts.block_bytes = static_cast<std::uint32_t>(number_of(value("show block_size"), "its block size"));
    facts.relation_file_bytes =
        number_of(value("select setting from pg_settings where name = 'segment_size'"), "the size of its files") *
        facts.block_bytes;
    facts.data_checksums = value("show data_checksums") == "on";
    facts.archive_mode = value("show archive_mode");
    facts.archive_command = value("show archive_command");
    if (facts.version_num >= 150000) facts.archive_library = value("show archive_library");
    const auto life = rows("select (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint, "
                           "(extract(epoch from clock_timestamp()) * 1000000)::bigint")
                          .at(0);
    facts.life = {number_of(life.at(0), "when it started"), number_of(life.at(1), "its time")};
    return facts;
}

std::vector<Tablespace> LibpqServer::tablespaces() {
    std::vector<Tablespace> found;
    // Of one in place (allow_in_place_tablespaces) the location is the folder in pg_tblspc itself, and no place of its own.
    for (const auto& row : rows("select oid, pg_tablespace_location(oid) from pg_tablespace where pg_tablespace_location(oid) "
                                "like '/%' order by oid"))
        found.push_back({static_cast<std::uint32_t>(number_of(row.at(0), "a tablespace's oid")), row.at(1)});
    return found;
}

BackupStart LibpqServer::start_backup(const std::string& label) {
    const auto known = facts();
    const auto* query =
        known.version_num >= 150000 ? "select pg_backup_start($1, true)" : "select pg_start_backup($1, true, false)";
    const auto result = execute(query, {label});
    BackupStart start;
    start.lsn = lsn_of(first(result, 0));
    // A standby's copy begins at its last restartpoint.
    const auto timeline = value(known.in_recovery ? "select timeline_id from pg_control_checkpoint()" : primary_timeline);
    start.timeline = TimelineId(static_cast<std::uint32_t>(number_of(timeline, "its timeline")));
    // On a boundary a primary's pg_walfile_name() names the segment before up to 16, and the segment itself from 17 on.
    const bool own_at_boundary = !known.in_recovery && known.version_num >= 170000;
    const auto number = own_at_boundary ? start.lsn.bytes() / known.segment_bytes : (start.lsn.bytes() - 1) / known.segment_bytes;
    start.start_segment = segment_name({start.timeline, number}, known.segment_bytes);
    started_in_recovery_ = known.in_recovery;
    started_timeline_ = start.timeline.number();
    return start;
}

BackupStop LibpqServer::stop_backup() {
    if (started_in_recovery_) check_same_standby(); // its words are clearer than the server's
    const auto version = number_of(value("show server_version_num"), "its version");
    const auto result = execute(version >= 150000 ? "select lsn, labelfile, spcmapfile from pg_backup_stop(false)"
                                                  : "select lsn, labelfile, spcmapfile from pg_stop_backup(false, false)");
    BackupStop stop;
    stop.lsn = lsn_of(first(result, 0));
    stop.backup_label = first(result, 1);
    stop.tablespace_map = first(result, 2);
    if (started_in_recovery_) check_same_standby();
    return stop;
}

/// What a standby copied is a backup only while it stays a standby, on one timeline.
void LibpqServer::check_same_standby() {
    // Not pg_control_checkpoint(): the last restartpoint may lie before the switch. The backup ends at minRecoveryPoint.
    const auto found = rows("select pg_is_in_recovery(), min_recovery_end_timeline from pg_control_recovery()").at(0);
    if (found.at(0) != "t")
        throw Error(ErrorKind::refused, "the standby was promoted while it was copied; the copy is no backup",
                    "run backup-push again");
    if (found.at(1) != std::to_string(started_timeline_))
        throw Error(ErrorKind::refused,
                    fmt::format("the standby went from timeline {} to {} while it was copied; the copy is no backup",
                                started_timeline_, found.at(1)),
                    "run backup-push again, once the new primary has made a checkpoint");
}

} // namespace

std::unique_ptr<Server> Server::connect(const ConnectionOptions& options) {
    auto [connection, name] = open_connection(options);
    auto server = std::make_unique<LibpqServer>(std::move(connection), std::move(name));
    // A standby answers no query in a serializable transaction.
    server->rows("set default_transaction_isolation to 'read committed'");
    // Nobody's functions take the place of the server's own, whatever path the role or the database has.
    server->rows("set search_path to ''");
    // Not every version has the last two; a connection is idle while a server sends its files on another.
    server->value("select count(set_config(name, '0', false)) from pg_settings where name in "
                  "('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', "
                  "'transaction_timeout')");
    return server;
}

} // namespace walgd::pg
