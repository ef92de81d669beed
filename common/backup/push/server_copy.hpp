#pragma once
#include "common/backup/page_scan.hpp"
#include "common/backup/push/backup_manifest.hpp"
#include "common/backup/push/files_spool.hpp"
#include "common/backup/push/parts.hpp"
#include "common/backup/push/tar_upload.hpp"
#include "common/codec/tar_reader.hpp"
#include "common/pg/base_backup.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace walgd::backup {

struct ServerCopyOptions {
    std::string backup;
    std::uint64_t part_bytes_max = 0; ///< a part is closed before a file with which it would have more
    bool by_database = false;         ///< and before the files of another database
    bool verify = false;              ///< page checksums: wanted, and the cluster has them
    std::uint32_t block_bytes = 8192;
    std::uint64_t relation_file_bytes = pg::relation_file_bytes;
    pg::Lsn start{0};
    bool name_all_corrupt = false; ///< all damaged blocks go into the metadata, not only the first ten of a file
    unsigned root_mode = 0700;     ///< of the data directory, which the server's tars do not have
};

/// Reads a page of a file of the data directory again, from the server; nothing when it cannot.
using ReadPageAgain = std::function<std::optional<std::string>(const std::string& file, std::uint64_t offset)>;

/// Cuts the tars that a server sends into the parts of a backup, checks pages on the way, and at the end every file against the
/// manifest. Names stay the server's: without a slash in front, with one behind directories (walg-format.md, 3.6).
class ServerCopy : public pg::BaseBackup::Receiver, private codec::TarReader::Handler {
public:
    ServerCopy(UploadRoom& room, FilesSpool& files, ServerCopyOptions options, ReadPageAgain read_again);

    void begin_archive(std::optional<std::uint32_t> tablespace) override;
    void archive_data(ByteView bytes) override;
    void end_archive() override;
    void manifest_data(ByteView bytes) override { manifest_.write(bytes); }

    /// After the last byte: all parts are stored, and all files were as the manifest of `system` says; Error(corrupt) when not.
    /// plain_bytes are those of the server's tars, headers included.
    PartsResult finish(pg::SystemIdentifier system);
    /// What came as global/pg_control: it goes into a tar of its own, last.
    const SmallFile& control_file() const { return control_; }

private:
    /// The file that is passing.
    struct Current {
        std::string path; ///< below the data directory
        archive::FileDescription description;
        std::uint64_t bytes = 0;
        std::uint32_t crc32c = 0;
        bool is_file = false, has_pages = false, is_control = false;
    };

    void begin(const codec::TarMember& member) override;
    void data(ByteView bytes) override;
    void end() override;
    void begin_control(const codec::TarMember& member);
    void begin_root(const codec::TarMember& like);
    void make_room_for(const codec::TarMember& member);
    void check_pages(ByteView bytes);
    bool still_damaged(std::uint32_t block);
    void end_file();
    void close_part();

    UploadRoom& room_;
    FilesSpool& files_;
    ServerCopyOptions options_;
    ReadPageAgain read_again_;
    PageScan pages_;
    ManifestCheck manifest_;
    SmallFile control_;
    PartsResult result_;
    std::string prefix_, last_member_;
    std::unique_ptr<codec::TarReader> reader_;
    std::optional<TarUpload> tar_;
    Current current_;
    int parts_ = 0;
    bool has_root_ = false;
};

} // namespace walgd::backup
