#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <vector>

namespace walgd::backup {

/// One thing in the data directory that belongs into a base backup.
struct WalkedEntry {
    enum class Type { file, directory, symlink };

    std::string member; ///< name in the tar: "/", "/base/1/1259", "/pg_tblspc/16384/PG_15_202209061/5/16385"
    std::string path;   ///< where it is
    Type type = Type::file;
    struct stat about{};
    std::string link; ///< of symlinks
};

/// Walks a data directory and its tablespaces, depth first, names in byte order, as WAL-G does (walg-format.md, 3.1), leaving out
/// what a base backup must not or need not hold: WAL-G's list, and what PostgreSQL's "Making a Base Backup" adds to it (unlogged
/// and temporary relations, caches, labels of other backups). Excluded folders come with their header and no content. Memory
/// grows with the largest folder, not with the cluster. Things that vanish on the way are left out. A link in the place of one of
/// the server's folders, or below one, is taken for what it leads to: without that there is no cluster.
class PgdataWalk {
public:
    using Visit = std::function<void(WalkedEntry)>;
    /// `left_out`: names that are excluded beside those, at any depth.
    explicit PgdataWalk(std::string pgdata, std::span<const std::string_view> left_out = {})
        : pgdata_(std::move(pgdata)), left_out_(left_out) {}
    /// Tablespaces of other numbers are left out: those that were made since the backup began come out of the WAL, which makes
    /// their links and does not do with what is there in their place.
    void leave_out_tablespaces_but(std::set<std::string> names) { tablespaces_ = std::move(names); }

    /// Calls `visit` for each; a `visit` that throws ends the walk. global/pg_control is not among them: it is copied last.
    void run(const Visit& visit);
    /// Sizes, by lstat, of all that the last run() met, excluded files and pg_control too.
    std::uint64_t catalog_bytes() const { return catalog_bytes_; }

private:
    void walk(const std::string& path, const std::string& member, const Visit& visit);
    void walk_content(const std::string& path, const std::string& member, const Visit& visit);
    void walk_tablespaces(const std::string& path, const std::string& member, const Visit& visit);

    std::string pgdata_;
    std::span<const std::string_view> left_out_;
    std::optional<std::set<std::string>> tablespaces_;
    std::uint64_t catalog_bytes_ = 0;
};

/// What a standby keeps of its own when it is brought up to another server: catchup-push leaves them out, as WAL-G's does.
inline constexpr std::array<std::string_view, 3> own_settings{"pg_hba.conf", "postgresql.conf", "postgresql.auto.conf"};

/// The subfolder of a tablespace's place that a server of a major version keeps the tablespace in
/// (TABLESPACE_VERSION_DIRECTORY in src/include/common/relpath.h): "PG_15_202209061"; of any version if that is 0. Empty: there
/// is none, or nobody may look.
std::string tablespace_version_folder(const std::string& place, int major);

/// Whether initdb makes a folder of that name in the data directory: base, global, pg_wal ... The server needs each of them.
bool is_server_folder(std::string_view relative);

/// What PostgreSQL calls a file of a relation's main fork or segment: "1259", "16385.3", "16385_fsm", "16385_init".
struct RelationFile {
    std::string_view relation; ///< "16385"
    std::string_view fork;     ///< "", "fsm", "vm", "init"
    std::uint32_t segment = 0;
};
/// False if `name` is no such file's.
bool parse_relation_file(std::string_view name, RelationFile& file);
/// "t3_16450", "t3_16450.1", "t3_16450_fsm": a temporary relation.
bool is_temporary_relation(std::string_view name);

} // namespace walgd::backup
