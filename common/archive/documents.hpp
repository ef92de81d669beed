#pragma once
#include "common/base/time_text.hpp"
#include "common/pg/lsn.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The three JSON documents of a backup (walg-format.md, section 2). Written as WAL-G writes them: compact, its key order,
/// integers for LSNs. Read as WAL-G reads them: keys in any case, unknown keys ignored, white space after the document, nothing
/// else; Error(corrupt) names `object`.
namespace walgd::archive {

using walgd::format_time;
using walgd::parse_time;
using walgd::Time;

/// No sentinel or metadata.json is larger: it is read as a whole.
inline constexpr std::uint64_t document_bytes_max = 256 << 20;

inline constexpr std::string_view date_format = "%Y-%m-%dT%H:%M:%S.%fZ";

/// Where the tablespaces were: section 2.2.
struct TablespaceSpec {
    struct Entry {
        std::string name;     ///< of the link: the oid
        std::string location; ///< the link's text, trailing slashes cut
    };
    std::string base_prefix; ///< PGDATA
    std::vector<Entry> tablespaces;
};
TablespaceSpec parse_tablespace_spec(std::string_view json, const std::string& object);

/// What makes a delta backup one; all four or none.
struct DeltaOrigin {
    pg::Lsn lsn{0};
    std::string from, full_name; ///< empty: a catchup backup, which is based on none
    int count = 0;
};

/// <backup>_backup_stop_sentinel.json: section 2.1.
struct Sentinel {
    std::optional<pg::Lsn> start_lsn, finish_lsn;
    std::optional<DeltaOrigin> delta;
    int pg_version = 0;
    std::optional<pg::SystemIdentifier> system;
    std::int64_t uncompressed_bytes = 0, compressed_bytes = 0, data_catalog_bytes = 0;
    std::optional<TablespaceSpec> spec;
    std::string user_data; ///< JSON text as WAL-G re-encodes it; empty: none
    bool files_metadata_disabled = false;
    bool has_files = false;             ///< as older WAL-G wrote it: what now is files_metadata.json stands in it
    std::optional<bool> data_checksums; ///< of the cluster; ours alone, WAL-G passes over it
    int version = 0;                    ///< 2; 0 for WAL-G's v1, which lacks all below
    Time start_time{}, finish_time{};
    std::string hostname, data_dir;
    bool is_permanent = false; ///< as of push time; metadata.json decides
};
std::string to_json(const Sentinel& sentinel);
Sentinel parse_sentinel(std::string_view json, const std::string& object);

/// metadata.json: section 2.3.
struct BackupMetadata {
    Time start_time{}, finish_time{};
    std::string date_fmt{date_format}, hostname, data_dir;
    int pg_version = 0;
    std::optional<pg::Lsn> start_lsn, finish_lsn;
    bool is_permanent = false;
    std::optional<pg::SystemIdentifier> system;
    std::int64_t uncompressed_bytes = 0, compressed_bytes = 0;
    std::string user_data; ///< JSON text; empty: none
};
std::string to_json(const BackupMetadata& metadata);
BackupMetadata parse_metadata(std::string_view json, const std::string& object);

/// The WAL that was stored between a backup and the next one.
struct Journal {
    std::string backup;
    std::optional<Time> prior_end; ///< of the backup before
    Time end{};
    std::uint64_t bytes_to_next = 0; ///< 0 for the newest backup

    friend bool operator==(const Journal&, const Journal&) = default;
};
std::string to_json(const Journal& journal);
Journal parse_journal(std::string_view json, std::string backup, const std::string& object);

/// User data as WAL-G re-encodes it: keys sorted, numbers through a double, < > & escaped. Error(misconfigured) when `text` is
/// not JSON.
std::string normalized_user_data(std::string_view text);

/// What files_metadata.json says of a file.
struct FileDescription {
    bool is_incremented = false, is_skipped = false;
    Time modified{};
    std::uint64_t corrupt_block_count = 0;     ///< true total
    std::vector<std::uint32_t> corrupt_blocks; ///< some of them, or all
    std::uint64_t updates = 0;                 ///< rows written of its table, as the rating composer noted; else 0
};

/// Writes files_metadata.json as a stream of text: it can pass 1 GB. Call order: add() for each file, part() for each tar or
/// none, then databases(), then finish().
class FilesMetadataWriter {
public:
    using Out = std::function<void(std::string_view)>;
    explicit FilesMetadataWriter(Out out) : out_(std::move(out)) {}
    void add(std::string_view member, const FileDescription& file);
    void part(std::string_view tar, const std::vector<std::string>& members);
    /// The next piece of the DatabasesByNames object; never called, it is left out.
    void databases(std::string_view json);
    void finish();

private:
    enum class At { start, files, tars, end };
    void enter(At next);
    Out out_;
    At at_ = At::start;
    bool first_ = true;
};

/// One relation that DatabasesByNames names.
struct RelationEntry {
    std::string name;                     ///< "public.t"
    std::string parent;                   ///< of a partition or an inheriting table: the topmost parent's name, else empty
    std::uint32_t oid = 0, file_node = 0; ///< file_node 0: has no files. oid: of "tables", WAL-G's old form, the file node
};

/// Reads files_metadata.json piece by piece (a Sink's shape: write in any cut, then finish), calling back for each entry, in a
/// thread of its own: what the callbacks gather is whole after finish(). Memory does not grow with the document.
class FilesMetadataReader {
public:
    struct Callbacks {
        std::function<void(std::string_view member, const FileDescription& file)> file;
        std::function<void(std::string_view tar, std::string_view member)> tar_member; ///< may be empty
        /// Every relation of DatabasesByNames, before the database() that it belongs to. May be empty.
        std::function<void(const RelationEntry& relation)> relation;
        std::function<void(std::string_view name, std::uint32_t oid)> database; ///< may be empty
    };
    FilesMetadataReader(Callbacks callbacks, std::string object);
    ~FilesMetadataReader();
    void write(std::string_view text);
    void finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace walgd::archive
