#pragma once
#include "common/archive/layout.hpp"
#include "common/backup/push/file_copy.hpp"
#include "common/backup/push/files_spool.hpp"
#include "common/backup/push/object_upload.hpp"

#include <set>
#include <string>

namespace walgd::backup {

class FormerParts;
class Ratings;

/// What is put into parts, and how.
struct PartsOptions {
    std::string pgdata, backup;
    std::uint64_t part_bytes_max = 0; ///< a part is closed when its members have more
    unsigned readers = 1;
    std::uint64_t disk_bytes_per_second = 0; ///< over all readers; 0: no limit
    bool by_database = false;                ///< a part is closed too before the files of another database
    const Ratings* ratings = nullptr;        ///< a part holds one class of them; nullptr: of all
    const FormerParts* taken = nullptr;      ///< what they hold is in the backup already; nullptr: nothing is
    std::string_view folder = archive::backup_folder;
    std::span<const std::string_view> left_out{}; ///< of the walk
    std::set<std::string> tablespaces{};          ///< those that there were when the backup began
};

struct PartsResult {
    std::uint64_t plain_bytes = 0; ///< of the members
    std::uint64_t stored_bytes = 0;
    std::uint64_t catalog_bytes = 0;
    std::uint64_t corrupt_blocks = 0;
    std::uint64_t read_bytes = 0; ///< of the cluster's files
    std::uint64_t files_skipped = 0, files_incremented = 0;
};

/// Copies the cluster's files into part_001.tar, part_002.tar ... of `backup`, several threads at once. Returns when all parts
/// are stored; on a failure, or a stop, all threads have ended and nothing is on its way any more.
PartsResult push_parts(UploadRoom& room, const CopySource& source, FilesSpool& files, const PartsOptions& options);

/// A file that is in memory: pg_control, backup_label.
struct SmallFile {
    codec::TarMember member;
    std::string content;
};
/// "<stem>.tar.<suffix>" of `backup`.
struct SmallTar {
    std::string_view folder;
    const std::string& backup;
    std::string_view stem;
};
/// Stores `files` as one tar.
PartsResult push_tar(UploadRoom& room, const SmallTar& what, const std::vector<SmallFile>& files);

} // namespace walgd::backup
