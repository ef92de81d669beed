#pragma once
#include "common/archive/archive.hpp"
#include "common/backup/page_scan.hpp"
#include "common/pg/control_file.hpp"
#include "common/pg/lsn.hpp"
#include "common/pg/wal_check.hpp"

#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

/// Reads stored objects back as a restore would: decrypts, decompresses, and looks at what comes out. What is wrong is an
/// Error(corrupt) that names the object; nothing is written. Synchronous: for a job's thread, or several. Whoever calls holds
/// `check_bytes` of the memory budget.
namespace walgd::backup {

inline constexpr std::uint64_t check_bytes = 1 << 20;

/// An object of wal_005/: a segment goes through `wal`, which knows the one before; of other files it is seen that they unpack.
/// False: what is stored under such a name is nobody's WAL file, and was not read.
bool check_wal_object(archive::Archive& archive, const storage::ObjectKey& key, pg::WalCheck& wal, std::stop_token stop);

/// The content of a segment's object, for check_segment() when its turn has come. Nothing where the name is no segment's, or what
/// is stored does not unpack to at most `bytes_max`: then check_wal_object() says what is wrong with it.
std::optional<Blob> unpack_segment(archive::Archive& archive, const storage::ObjectKey& key, std::uint64_t bytes_max,
                                   std::stop_token stop);
void check_segment(const storage::ObjectKey& key, ByteView content, pg::WalCheck& wal);

/// The pg_control in a backup's pg_control tar (`key`); nothing where that is damaged: its own check says so.
std::optional<pg::ControlFile> read_backup_control(archive::Archive& archive, const storage::ObjectKey& key,
                                                   std::stop_token stop);

/// A tar of a backup: its members, and the page headers and checksums of relations, whole or in increments. Of a pg_control tar,
/// that file's checksum. Returns its members' names, as hash_of_name() has them.
std::vector<std::uint64_t> check_backup_tar(archive::Archive& archive, const storage::ObjectKey& key, const BackupSpan& span,
                                            const BackupPages& pages, std::stop_token stop);

/// What a files_metadata.json tells.
struct ToldFiles {
    std::set<std::string> tars;
    std::vector<std::uint64_t> files; ///< those that the backup's own parts have, as hash_of_name() has their names
};
/// A files_metadata.json: that it is one.
ToldFiles check_files_metadata(archive::Archive& archive, const storage::ObjectKey& key, std::stop_token stop);
/// The names that a files_metadata.json has for some of ToldFiles::files (sorted): the first `count` of them.
std::vector<std::string> names_of_files(archive::Archive& archive, const storage::ObjectKey& key,
                                        const std::vector<std::uint64_t>& files, std::size_t count, std::stop_token stop);

/// Another JSON document of a backup: that it is one.
void check_document(archive::Archive& archive, const storage::ObjectKey& key, std::stop_token stop);

} // namespace walgd::backup
