#pragma once
#include "common/archive/archive.hpp"
#include "common/pg/server.hpp"

#include <stop_token>
#include <string>

namespace walgd::archive {

/// From where and how WAL is received.
struct WalReceiveOptions {
    pg::ConnectionOptions connection;
    std::string slot;        ///< physical; made when it is not there
    bool accept_gap = false; ///< begin with what the server still has, whatever is missing between that and what is stored
};

/// Receives WAL from a server as it is written and stores it: every full segment; at a timeline's end what there is of the last
/// one, as .partial with zeros behind it, and the next timeline's .history before its first segment. Tells the server that WAL is
/// flushed once the storage confirmed it, so that the slot keeps the rest. For a thread of its own.
///
/// Returns when `stop` is asked for. Outages of server or storage are waited out. Error(refused) when the server is of another
/// system than the archive, when it does not have the WAL any more that follows what is stored, or when other content is stored
/// already.
void wal_receive(Archive& archive, const WalReceiveOptions& options, std::stop_token stop);

} // namespace walgd::archive
