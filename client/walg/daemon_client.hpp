#pragma once
#include "client/walg/verb.hpp"
#include "common/backup/backup_push.hpp"

#include <optional>

namespace walgd::cli {

/// Asks the daemon at WALGD_SOCKET for a base backup and shows its progress until it ends. Nothing when no daemon listens there:
/// the caller runs it itself. An Error of the job comes back as that Error. `context.stop` cancels the job.
std::optional<backup::PushResult> backup_push_by_daemon(Context& context, const backup::PushOptions& options, bool verify);

/// The daemon's own words about itself. Error(failed) when none listens.
std::string daemon_status(Context& context, bool json);

/// The daemon reads its settings again: what it says of that.
std::string daemon_reload(Context& context);

} // namespace walgd::cli
