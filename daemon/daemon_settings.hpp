#pragma once
#include "common/backup/push/backup_push.hpp"
#include "config/settings.hpp"
#include "daemon/archive_watch.hpp"
#include "daemon/hooks.hpp"
#include "daemon/http/http_server.hpp"
#include "daemon/wal/wal_service.hpp"
#include "proto/backup_request.hpp"

#include <string>
#include <string_view>

/// What the settings say, as the daemon's parts want it.
namespace walgd::daemon {

/// A job's options: the daemon's settings, and what the client asked for.
backup::PushOptions job_options(const config::Settings& settings, const proto::BackupRequest& request);

struct OwnArchive {
    std::string place;
    std::string_view encryption; ///< its cipher's name, or "none"
};
/// Why a backup that a client wants is not this daemon's to take; empty: it is.
std::string backup_elsewhere(const config::Settings& settings, const OwnArchive& own, const proto::BackupRequest& request);

/// Prepares the folder that prefetch_dir names. Error as prepare_prefetch_folder()'s.
PrefetchOptions prefetch_options(const config::Settings& settings);

HttpOptions http_options(const config::Settings& settings);

Hooks::Options hook_options(const config::Settings& settings);

/// What the start, or each base backup, would refuse of the settings alone. Error as theirs; opens, makes and listens at nothing.
void check_settings(const config::Settings& settings, asio::any_io_executor io, Log& log);

WalLimits wal_limits(const config::Settings& settings);

/// Metrics and page wait for the first look; else it is for gaps alone, and leaves a starting daemon to PostgreSQL.
ArchiveWatch::Options watch_options(const config::Settings& settings);

} // namespace walgd::daemon
