#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/lsn.hpp"

#include <array>
#include <chrono>
#include <variant>

/// The messages inside a physical replication stream ("Streaming Replication Protocol" in PostgreSQL's documentation). All
/// numbers are big-endian; times are microseconds since 2000-01-01.
namespace walgd::pg {

/// 'w' start:8 end:8 time:8 wal...
struct WalData {
    Lsn start{0};      ///< of the first byte of `wal`
    Lsn server_end{0}; ///< how far the server's WAL went
    ByteView wal;      ///< a view into the message
};

/// 'k' end:8 time:8 reply:1
struct Keepalive {
    Lsn server_end{0}; ///< how far the server has sent
    bool reply_wanted = false;
};

using ReplicationMessage = std::variant<WalData, Keepalive>;

/// Error(protocol) when it is neither, or its length cannot be right.
ReplicationMessage parse_replication_message(ByteView message);

/// What a standby tells the server. 0 says nothing of that position.
struct StandbyStatus {
    Lsn written{0}; ///< what this process has
    Lsn flushed{0}; ///< what is safe: the server's slot keeps all from here on
    bool reply_wanted = false;
};

/// 'r' written:8 flushed:8 applied:8 time:8 reply:1
std::array<std::byte, 34> standby_status_message(const StandbyStatus& status, std::chrono::system_clock::time_point now);

} // namespace walgd::pg
