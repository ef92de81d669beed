#pragma once
#include "client/walg/verb.hpp"
#include "common/archive/wal/wal_push.hpp"

#include <functional>
#include <string>

namespace walgd::cli {

/// PG_READY_RENAME without a daemon. Stores what else is .ready beside the WAL file `asked_for`, in PostgreSQL's order and at
/// most TOTAL_BG_UPLOADED_LIMIT files, and marks each .done once the storage confirmed it, so that PostgreSQL does not ask for
/// it. A file that fails stays .ready, with a warning. `stored` is told of the others, on this thread. Throws only
/// Error(cancelled).
void store_ahead(Context& context, const std::string& asked_for, const archive::WalPushOptions& options,
                 const std::function<void(const std::string&, const archive::WalPushed&)>& stored);

} // namespace walgd::cli
