#pragma once
#include "common/base/handles.hpp"
#include "common/pg/server.hpp"

#include <cstdint>
#include <libpq-fe.h>
#include <memory>
#include <string>
#include <string_view>

/// What the kinds of connections, Server, Replication and BaseBackup, share. Nobody else includes libpq.
namespace walgd::pg {

/// The oldest server that backups are taken of and WAL is received from.
inline constexpr int version_least = 130000;
/// SQLSTATEs (src/backend/utils/errcodes.txt).
inline constexpr std::string_view not_in_state = "55000", no_privilege = "42501";

using Connection = std::unique_ptr<PGconn, FreeWith<&PQfinish>>;
using Result = std::unique_ptr<PGresult, FreeWith<&PQclear>>;

struct OpenConnection {
    Connection connection;
    std::string name; ///< for messages: host, port, user and database, never the password
};

/// Connects with TCP keepalives and a limit of time. Throws as Server::connect() says.
OpenConnection open_connection(ConnectionOptions options);
/// The same for physical replication; Error(denied) says what that needs.
OpenConnection open_replication(ConnectionOptions options);

/// Throws what a failed statement or connection means, by SQLSTATE.
[[noreturn]] void refuse(const std::string& what, const std::string& name, const std::string& message, std::string_view sqlstate,
                         bool connected);
/// refuse() with what a result or, without one, the connection says.
[[noreturn]] void refuse_result(const std::string& what, const std::string& name, const PGconn* connection,
                                const PGresult* result);
/// What a result or, without one, the connection says.
std::string words_of(const PGconn* connection, const PGresult* result);
/// Empty when the result has none.
std::string_view sqlstate_of(const PGresult* result);

/// What the server's text means; Error(failed) saying `what` when it is not that.
std::uint64_t number_of(const std::string& text, std::string_view what);
Lsn lsn_of(const std::string& text);

} // namespace walgd::pg
