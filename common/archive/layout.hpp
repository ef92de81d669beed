#pragma once
#include "common/codec/compression.hpp"
#include "common/pg/lsn.hpp"
#include "common/storage/storage.hpp"

#include <optional>
#include <string>
#include <string_view>

/// WAL-G's folders and object names (walg-format.md, section 1).
namespace walgd::archive {

inline constexpr std::string_view wal_folder = "wal_005/";
inline constexpr std::string_view backup_folder = "basebackups_005/";
/// What catchup-push makes, in the same layout; base backups and their WAL know nothing of it.
inline constexpr std::string_view catchup_folder = "catchup_005/";
/// What is ours alone: no run of 24 upper-case hex digits in any name, and it may vanish without harm.
inline constexpr std::string_view own_folder = "walgd_005/";

/// "wal_005/<name>.<suffix>", or "wal_005/<name>" for method none.
storage::ObjectKey wal_key(std::string_view wal_file, std::string_view suffix);
/// "basebackups_005/<backup>_backup_stop_sentinel.json"; here and below `folder` is backup_folder or catchup_folder.
storage::ObjectKey sentinel_key(std::string_view backup, std::string_view folder = backup_folder);
storage::ObjectKey metadata_key(std::string_view backup, std::string_view folder = backup_folder);
storage::ObjectKey files_metadata_key(std::string_view backup, std::string_view folder = backup_folder);
/// "basebackups_005/<backup>/tar_partitions/<tar>", tar = "part_001.tar.lz4"
storage::ObjectKey tar_key(std::string_view backup, std::string_view tar, std::string_view folder = backup_folder);
/// "basebackups_005/<backup>/tar_partitions/"
std::string tar_folder(std::string_view backup, std::string_view folder = backup_folder);
/// True for what is directly in tar_folder(backup).
bool is_tar_of(std::string_view backup, std::string_view path);
/// "part_001.tar.lz4"; "part_001.tar" without a suffix.
std::string part_name(int number, std::string_view suffix);
/// "pg_control.tar.lz4", "backup_label.tar.lz4"
std::string tar_name(std::string_view stem, std::string_view suffix);
/// How a tar of a backup is packed, by what follows the last dot; "tar" and nothing at all mean a plain tar (WAL-G 3.0.8 left a
/// trailing dot). nullptr: nobody knows.
const codec::Compression* compression_of_tar(std::string_view object);

/// "basebackups_005/journal_<backup>"
storage::ObjectKey journal_key(std::string_view backup);
/// The backup's name if `object_name` (without folders) is a journal's; empty otherwise.
std::string_view backup_of_journal(std::string_view object_name);

/// What says that a backup is being taken is in here.
inline constexpr std::string_view jobs_folder = "walgd_005/jobs/";
/// "walgd_005/jobs/base_00000001-00000000-0000000A-.json"; of a catchup backup "catchup-" stands before its name.
storage::ObjectKey intent_key(std::string_view backup, std::string_view folder = backup_folder);
/// The base backup's name if `path` is its intent's; empty otherwise.
std::string backup_of_intent(std::string_view path);

/// base_[0-9A-F]{24}(_D_[0-9A-F]{24})?, also WAL-E's base_<segment>_<8 hex>.
bool valid_backup_name(std::string_view name);
/// What stands in the name of a delta backup, and of no other, before its parent's start segment.
inline constexpr std::string_view delta_mark = "_D_";
/// The backup's name if `object_name` (without folders) is a sentinel's; empty otherwise.
std::string_view backup_of_sentinel(std::string_view object_name);
/// The sentinel of the backup that an object is part of, or that a folder is of; of a sentinel itself. Nothing for what belongs
/// to no backup.
std::optional<storage::ObjectKey> sentinel_of(const storage::ObjectKey& key);
/// What the key of a segment's object begins with like those of the 255 around it: "wal_005/0000000100000000"; empty for others.
std::string segments_around(const storage::ObjectKey& key);
/// The segment whose whole content an object of wal_folder is, by its name alone: "<segment>", "<segment>." or with the suffix of
/// a compression. Empty for others, WAL-G's "<segment>.json" among them.
std::string_view stored_segment(std::string_view path);
/// Of the first segment in the backup's name; nothing if there is none.
std::optional<pg::TimelineId> timeline_of(std::string_view backup);
/// The first run of 24 [0-9A-F] in a name; empty if there is none.
std::string_view first_segment_in(std::string_view name);

} // namespace walgd::archive
