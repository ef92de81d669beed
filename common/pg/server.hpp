#pragma once
#include "common/base/handles.hpp"
#include "common/pg/lsn.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace walgd::pg {

/// libpq keywords and values ("host", "port", "user", "password", "dbname", "sslmode" ...); what is not given is libpq's own
/// default.
using ConnectionOptions = std::map<std::string, std::string>;

/// The life of a server from one start to its end, told by its own clock: in microseconds since 1970.
struct ServerLife {
    std::uint64_t started = 0; ///< of the postmaster; 0: nobody told
    std::uint64_t seen = 0;    ///< a moment at which it ran
};

/// What a server says of itself.
struct ServerFacts {
    int version_num = 0;        ///< 150018
    std::string data_directory; ///< symlinks resolved by the server's own view, no trailing slash
    SystemIdentifier system{0};
    TimelineId timeline{0};
    bool in_recovery = false;
    std::uint64_t segment_bytes = 0;
    std::uint32_t block_bytes = 8192;
    std::uint64_t relation_file_bytes =
        0; ///< a relation is cut into files of so many, 1 GiB unless PostgreSQL was built otherwise
    bool data_checksums = false;
    std::string archive_mode; ///< off, on, always
    std::string archive_command;
    std::string archive_library; ///< PostgreSQL 15 and later
    ServerLife life;
};

struct Tablespace {
    std::uint32_t oid = 0;
    std::string location;
};

/// What pg_backup_start() (pg_start_backup() before PostgreSQL 15) told.
struct BackupStart {
    Lsn lsn{0};
    TimelineId timeline{0};
    std::string start_segment; ///< for the backup's name; walg-format.md 1.3, primary and standby rules
};

/// What pg_backup_stop() (pg_stop_backup()) told.
struct BackupStop {
    Lsn lsn{0};
    std::string backup_label;   ///< byte for byte as the server gave it
    std::string tablespace_map; ///< may be empty
};

/// One connection to a server, synchronous: for job threads. Errors name host, port, user and database, never the password.
class Server {
public:
    /// Application name "walgd", tcp keepalives, no statement, lock or idle timeouts. Throws Error(transient) when nobody
    /// answers, Error(denied) when the server turned us away.
    static std::unique_ptr<Server> connect(const ConnectionOptions& options);
    virtual ~Server() = default;

    virtual ServerFacts facts() = 0;
    virtual std::vector<Tablespace> tablespaces() = 0;
    /// Non-exclusive backup, fast checkpoint (PostgreSQL 13 to 18). The connection must stay open until stop_backup; if it
    /// closes, the server leaves backup mode.
    virtual BackupStart start_backup(const std::string& label) = 0;
    /// Does not wait for the archive: the caller confirms the stop WAL in the archive itself. Error when a standby was promoted
    /// meanwhile.
    virtual BackupStop stop_backup() = 0;
    /// First column of the first row; Error when there is none.
    virtual std::string value(const std::string& query) = 0;
    virtual std::vector<std::vector<std::string>> rows(const std::string& query) = 0;
    /// Each row as it comes: for answers that may be larger than memory. When `visit` throws, use the connection no more.
    virtual void each_row(const std::string& query, const std::function<void(const std::vector<std::string>&)>& visit) = 0;
    /// Throws Error(transient) when the connection was lost, Error(refused) when a standby that is being copied is none any more.
    /// For long jobs, now and then.
    virtual void check_alive() = 0;
};

} // namespace walgd::pg
