#pragma once
#include "common/backup/restore/moment_target.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace walgd::backup {

/// What PostgreSQL is told of a recovery.
struct RecoverySettings {
    std::string restore_command;
    MomentTarget target;
    std::optional<pg::TimelineId> timeline; ///< nothing: the backup's own
    std::string action = "pause";           ///< recovery_target_action
};

/// The lines of postgresql.auto.conf, between marks by which they are found again. Targets that other files may name are emptied:
/// PostgreSQL takes no more than one.
std::string recovery_block(const RecoverySettings& settings);
/// `file` with `block` at its end, in place of an earlier one; every other line stays as it is.
std::string with_recovery_block(std::string_view file, std::string_view block);

/// True if a data directory's postgresql.auto.conf has the block or a target: left of a restore of the cluster that was backed
/// up.
bool names_recovery_target(const std::string& pgdata);

/// What write_recovery_settings() writes or removes in a data directory.
inline constexpr std::array<std::string_view, 3> recovery_files{"postgresql.auto.conf", "recovery.signal", "standby.signal"};

/// Writes the block and recovery.signal into a restored, not yet started data directory, durably. A standby.signal in it, which
/// would make it a standby, is removed: true if there was one. What a killed call left is overwritten.
bool write_recovery_settings(const std::string& pgdata, const RecoverySettings& settings);

} // namespace walgd::backup
