#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace walgd::backup {

/// The member's name as a path relative to the data directory: "base/1/1259", "" for the root. Error(corrupt) for names with
/// "..", NUL or nothing in them, and for names that a restore keeps for itself.
std::string relative_member(std::string_view member);

/// Stands for a name where millions are kept; the same in every process.
std::uint64_t hash_of_bytes(std::string_view name);
/// Of a relative name as it is in a tar and as it is in the files metadata, which is JSON of ours or of WAL-G's, it is the same.
/// Names that are no UTF-8 may have one in common.
std::uint64_t hash_of_name(std::string_view relative);

/// Files of the directory's top that come from the backup itself, never from one that it is based on.
bool is_of_one_backup(std::string_view relative);

inline constexpr std::string_view tablespace_prefix = "pg_tblspc/";
inline constexpr std::string_view control_member = "global/pg_control";
/// pg_control's name until everything else is on disk.
inline constexpr std::string_view control_pending = "global/pg_control.walgd-restoring";
/// What an unfinished restore notes about itself, in the top of the data directory.
inline constexpr std::string_view restore_state_name = "walgd-restore.state";

} // namespace walgd::backup
