#pragma once
#include "common/backup/push/text_spool.hpp"
#include "common/base/bytes.hpp"
#include "common/pg/lsn.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// PostgreSQL's backup manifest ("Backup Manifest Format" in its documentation), versions 1 and 2.
namespace walgd::backup {

struct ManifestFile {
    std::string path; ///< below the data directory: "base/5/1259", "pg_tblspc/16384/PG_15_202209061/5/16385"
    std::uint64_t bytes = 0;
    std::uint32_t crc32c = 0;
};

struct BackupManifest {
    std::optional<pg::SystemIdentifier> system; ///< PostgreSQL 17 and later
};

/// Gives the next piece of the text; empty at the end.
using NextPiece = std::function<std::string()>;
using OnManifestFile = std::function<void(const ManifestFile& file)>;

/// Reads a manifest whose files have CRC-32C, piece by piece, and tells its files as they come. Error(corrupt) when it is not
/// one, or when the text is not what its own checksum, at its end, says: what was told before does not count then.
BackupManifest read_backup_manifest(const NextPiece& next, const OnManifestFile& on_file);

/// Holds the files of a base backup, as they came, against its manifest. Memory grows by a few bytes for each file.
class ManifestCheck {
public:
    ManifestCheck();
    /// A file came whole.
    void passed(std::string_view path, std::uint64_t bytes, std::uint32_t crc32c);
    /// The next piece of the manifest.
    void write(ByteView text);
    /// After the last piece. Error(corrupt) that names a file when one is not as the manifest says, is missing, or is not in it;
    /// or when the manifest is another system's.
    void finish(pg::SystemIdentifier system);

private:
    struct Passed {
        std::uint64_t name_hash, bytes, name_offset;
        std::uint32_t crc32c, name_bytes;
        bool named = false;
    };
    void compare(const ManifestFile& file);
    void expect_all_named();

    std::vector<Passed> passed_;
    TextSpool names_, manifest_;
};

} // namespace walgd::backup
