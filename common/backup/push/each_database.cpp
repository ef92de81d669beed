#include "common/backup/push/each_database.hpp"

#include "common/base/error.hpp"

namespace walgd::backup {

void each_database(pg::Server& server, const pg::ConnectionOptions& connection, std::stop_token stop,
                   const VisitDatabase& visit) {
    auto options = connection;
    options["client_encoding"] = "UTF8";
    for (const auto& row : server.rows("select datname, oid from pg_catalog.pg_database where datallowconn order by oid")) {
        if (stop.stop_requested()) throw Error(ErrorKind::cancelled, "the backup was cancelled");
        server.check_alive();
        options["dbname"] = row.at(0);
        visit(row.at(0), row.at(1), [&options] { return pg::Server::connect(options); });
    }
}

} // namespace walgd::backup
