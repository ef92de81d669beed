#include "common/pg/libpq.hpp"

#include "common/base/bytes.hpp"
#include "common/base/error.hpp"
#include "common/base/number_text.hpp"

#include <fmt/format.h>
#include <vector>

namespace walgd::pg {

namespace {

/// libpq gives no SQLSTATE for a refused connection, only the server's words.
std::string_view sqlstate_of_words(std::string_view message) {
    auto says = [&](std::string_view words) { return message.find(words) != std::string_view::npos; };
    if (says("authentication failed") || says("pg_hba.conf") || says("no password supplied") || says("role \"") ||
        says("REPLICATION") || says("must be superuser or replication role"))
        return "28000";
    if (says("database \"") && says("does not exist")) return "3D000";
    if (says("max_wal_senders")) return "53300";
    return "";
}

std::string name_of(const PGconn* connection) {
    const auto part = [](const char* text) { return text != nullptr ? text : ""; };
    return fmt::format("host {}, port {}, user {}, database {}", part(PQhost(connection)), part(PQport(connection)),
                       part(PQuser(connection)), part(PQdb(connection)));
}

} // namespace

void refuse(const std::string& what, const std::string& name, const std::string& message, std::string_view sqlstate,
            bool connected) {
    const auto text = fmt::format("{} ({}): {}", what, name, trimmed(message));
    if (sqlstate.starts_with("28"))
        throw Error(ErrorKind::denied, text, "check PGUSER, PGPASSWORD or PGPASSFILE, and the server's pg_hba.conf");
    if (sqlstate.starts_with("3D")) throw Error(ErrorKind::misconfigured, text, "name an existing database in PGDATABASE");
    if (sqlstate == "42501")
        throw Error(ErrorKind::denied, text,
                    "a superuser can do it, or a user that was granted EXECUTE on the backup functions and pg_read_all_settings");
    if (sqlstate == "53300")
        throw Error(ErrorKind::transient, text, "wait for the others to end, or raise the limit and restart the server");
    if (!connected || sqlstate.starts_with("57P") || sqlstate.starts_with("08"))
        throw Error(ErrorKind::transient, text, "is the server running, and are PGHOST and PGPORT right?");
    throw Error(ErrorKind::failed, text);
}

void refuse_result(const std::string& what, const std::string& name, const PGconn* connection, const PGresult* result) {
    refuse(what, name, words_of(connection, result), sqlstate_of(result), PQstatus(connection) == CONNECTION_OK);
}

std::string words_of(const PGconn* connection, const PGresult* result) {
    return std::string(trimmed(result != nullptr ? PQresultErrorMessage(result) : PQerrorMessage(connection)));
}

std::string_view sqlstate_of(const PGresult* result) {
    const char* sqlstate = result != nullptr ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
    return sqlstate != nullptr ? sqlstate : "";
}

std::uint64_t number_of(const std::string& text, std::string_view what) {
    const auto number = whole_number<std::uint64_t>(text);
    if (!number) throw Error(ErrorKind::failed, fmt::format("the server gave '{}' as {}", text, what));
    return *number;
}

Lsn lsn_of(const std::string& text) {
    const auto lsn = Lsn::parse(text);
    if (!lsn) throw Error(ErrorKind::failed, fmt::format("the server gave '{}' as an LSN", text));
    return *lsn;
}

OpenConnection open_connection(ConnectionOptions options) {
    options.try_emplace("application_name", "walgd");
    options.try_emplace("connect_timeout", "10");
    options.try_emplace("keepalives", "1");
    options.try_emplace("keepalives_idle", "30");
    options.try_emplace("keepalives_interval", "10");
    options.try_emplace("keepalives_count", "3");
    options.try_emplace("fallback_application_name", "walgd");
    std::vector<const char*> keys, values;
    for (const auto& [key, value] : options) {
        keys.push_back(key.c_str());
        values.push_back(value.c_str());
    }
    keys.push_back(nullptr);
    values.push_back(nullptr);
    Connection connection(PQconnectdbParams(keys.data(), values.data(), 0));
    if (!connection) throw Error(ErrorKind::failed, "no memory for a connection to PostgreSQL");
    auto name = name_of(connection.get());
    if (PQstatus(connection.get()) != CONNECTION_OK) {
        const std::string message = PQerrorMessage(connection.get());
        refuse("cannot connect to PostgreSQL", name, message, sqlstate_of_words(message), false);
    }
    PQsetNoticeProcessor(connection.get(), [](void*, const char*) {}, nullptr);
    return {std::move(connection), std::move(name)};
}

OpenConnection open_replication(ConnectionOptions options) {
    options["replication"] = "true";
    options["dbname"] = "replication"; // what password files call it
    try {
        return open_connection(std::move(options));
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::denied) throw;
        throw Error(
            error.kind(), error.what(),
            "the user needs the REPLICATION attribute, its password, and a line for the database `replication` in pg_hba.conf");
    }
}

} // namespace walgd::pg
