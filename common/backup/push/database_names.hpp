#pragma once
#include "common/backup/push/text_spool.hpp"
#include "common/base/log.hpp"
#include "common/pg/server.hpp"

#include <stop_token>

namespace walgd::backup {

/// Writes the DatabasesByNames of files_metadata.json (walg-format.md 2.4) into `out`: for each database that can be connected to
/// its oid and its relations with oid and file node, partitions and inherited children below their topmost parent. It is what
/// WAL-G's --restore-only finds tables by, and costs one connection a database, one after the other, with the options of
/// `connection`. A database that cannot be asked is left out with a warning; only Error(cancelled) and the loss of `server`
/// are thrown.
void collect_database_names(pg::Server& server, const pg::ConnectionOptions& connection, TextSpool& out, Log& log,
                            std::stop_token stop);

} // namespace walgd::backup
