#pragma once
#include "common/archive/documents.hpp"
#include "common/codec/compression.hpp"
#include "common/pgbackrest/fields.hpp"
#include "common/pgbackrest/ini_reader.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace walgd::pgbackrest {

/// One file of a backup. About 150 bytes of memory each.
struct ManifestFile {
    std::string name; ///< "pg_data/base/1/1259", "pg_tblspc/16384/PG_15_202209061/5/16390"
    std::uint64_t bytes = 0, stored_bytes = 0;
    std::uint64_t bundle = 0, bundle_offset = 0; ///< bundle 0: an object of its own
    Sha1Digest sha1{};                           ///< of the plain content; an empty file has none
    std::uint32_t label = 0;                     ///< index into Manifest::labels: in which backup's folder it is
    std::uint16_t mode = 0;
    bool damaged = false; ///< some of its pages had wrong checksums when it was copied
};

/// A folder, named as files are.
struct ManifestFolder {
    std::string name;
    unsigned mode = 0;
};

/// One backup as its backup.manifest has it (pgBackRest's src/info/manifest.c).
struct Manifest {
    std::string label, type, archive_start, pg_version;
    std::optional<pg::Lsn> start_lsn, stop_lsn;
    Time start_time{}, stop_time{};
    pg::SystemIdentifier system{0};
    const codec::Compression* compression = nullptr;
    unsigned file_mode = 0, folder_mode = 0; ///< of all that have none of their own
    std::vector<ManifestFolder> folders;
    std::vector<archive::TablespaceSpec::Entry> tablespaces; ///< by oid
    std::vector<std::string> links;                          ///< others: what they led to is among files and folders
    std::vector<std::string> labels;                         ///< whose folders hold the files
    std::vector<ManifestFile> files;                         ///< none when they were not asked for

    std::uint64_t bytes() const;
};

/// Builds a manifest while an IniReader reads.
class ManifestReader {
public:
    enum class Files { wanted, left_out };
    ManifestReader(std::string object, Files files);
    void write(std::string_view text) { ini_.write(text); }
    /// Error(corrupt) when something is missing or contradicts itself, Error(misconfigured) when the backup has what is not read
    /// here: bzip2, block increments.
    Manifest finish();

private:
    void take(std::string_view section, std::string_view key, const nlohmann::json& value);
    void take_backup(std::string_view key, const Fields& fields);
    void take_option(std::string_view key, const Fields& fields);
    void take_target(std::string_view key, const Fields& fields);
    void take_file(std::string_view key, const Fields& fields);
    void take_folder(std::string_view key, const Fields& fields);
    std::uint32_t index_of(const std::string& label);

    std::string object_;
    Files wanted_;
    Manifest manifest_;
    std::map<std::string, std::uint32_t, std::less<>> label_indexes_;
    std::string compress_type_;
    bool compress_ = false;
    IniReader ini_;
};

} // namespace walgd::pgbackrest
