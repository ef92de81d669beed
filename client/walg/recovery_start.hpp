#pragma once
#include "common/base/time_text.hpp"
#include "common/pg/server.hpp"

#include <optional>
#include <stop_token>
#include <string>

namespace walgd::cli {

/// What is started, and how.
struct RecoveryStart {
    std::string programs; ///< folder of pg_ctl
    std::string pgdata, log_file;
    std::string action;               ///< recovery_target_action; promote where recovery ends at the end of the WAL
    pg::ConnectionOptions connection; ///< host and port are the server's own
};

/// How recovery ended.
struct Recovered {
    enum class State { paused, promoted, shut_down } state = State::paused;
    std::optional<Time> last_end;    ///< of the last transaction that was replayed
    std::optional<pg::Lsn> replayed; ///< behind the last record that was
};

/// Starts PostgreSQL on a restored data directory, and waits until its recovery has ended. Error(failed), with what the server
/// said, when it ends otherwise.
Recovered start_and_recover(const RecoveryStart& start, std::stop_token stop);

} // namespace walgd::cli
