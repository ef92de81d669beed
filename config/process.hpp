#pragma once
#include "common/archive/retention/retention_policy.hpp"
#include "common/backup/push/backup_push.hpp"
#include "config/settings.hpp"

#include <spdlog/common.h>
#include <string>

namespace walgd::config {

/// The sources of this process: its environment and home. `command_line` by our name or WAL-G's flag spelling.
Sources process_sources(const std::string& config_file, std::map<std::string, std::string> command_line, bool walg_compatible);

/// WALG_PG_WAL_SIZE in bytes; 0 where it is not given. Error(misconfigured) when no cluster has segments of that size.
std::uint64_t segment_bytes(const Settings& settings);

/// WALG_LOG_LEVEL, in spdlog's words.
spdlog::level::level_enum log_level(const Settings& settings);

/// Of the keep settings.
archive::RetentionPolicy retention_policy(const Settings& settings);

/// A base backup as the settings want it; data directory, permanence and user data may be replaced by what was asked for.
backup::PushOptions push_options(const Settings& settings);

} // namespace walgd::config
