#pragma once
#include "client/walg/verb.hpp"
#include "common/archive/archive_summary.hpp"
#include "common/backup/push/backup_push.hpp"

#include <optional>

namespace walgd::cli {

/// Asks the daemon at WALGD_SOCKET for a base backup and shows its progress until it ends. Nothing when no daemon listens there,
/// or one that keeps another archive than the settings name, or is another server's: the caller runs it itself. An Error of the
/// job comes back as that Error. `context.stop` cancels the job.
std::optional<backup::PushResult> backup_push_by_daemon(Context& context, const backup::PushOptions& options, bool verify);

/// What is asked of the backups: nothing, where they start and finish, or all that their documents say.
enum class Backups { none, places, whole };

/// What the daemon at WALGD_SOCKET knows of this archive, and how old that is: the archive as it was then, with the WAL that
/// this daemon stored since. Nothing where no daemon listens, where it keeps another archive or cannot vouch for what it knows:
/// then the storage is to be listed. A line in the log tells the age.
std::optional<archive::ArchiveSummary> summary_by_daemon(Context& context, Backups backups);

/// Tells the daemon, where there is one, that this command changed an archive, so that it does not answer with what was before.
void tell_daemon_of_changes(const Context& context);

/// Whether there is one at all, whatever archive it keeps.
bool daemon_listens(const Context& context);

/// The daemon's own words about itself. Error(failed) when none listens.
std::string daemon_status(Context& context, bool json);

/// The daemon reads its settings again: what it says of that.
std::string daemon_reload(Context& context);

} // namespace walgd::cli
