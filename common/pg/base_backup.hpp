#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/server.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace walgd::pg {

/// What the server says when a base backup has begun.
struct BaseBackupStart {
    Lsn lsn{0};
    TimelineId timeline{0};
    std::vector<Tablespace> tablespaces; ///< without the data directory
    std::uint64_t bytes_total = 0;       ///< of all files, as the server counted them
};

/// BASE_BACKUP on a replication connection (PostgreSQL 13 to 18): the server reads its files and sends them. For one thread.
/// Errors name host, port and user: Error(transient) when the server went away, Error(denied) when it turned us away,
/// Error(refused) when it cannot give a backup as it is set up, Error(protocol) when it spoke nonsense. Destroyed, the connection
/// closes and the server leaves backup mode.
class BaseBackup {
public:
    static std::unique_ptr<BaseBackup> connect(const ConnectionOptions& options);
    virtual ~BaseBackup() = default;
    /// For messages: host, port, user.
    virtual const std::string& name() const = 0;
    virtual SystemIdentifier system() = 0;

    /// Makes the server begin, with a fast checkpoint, a manifest with CRC-32C, and a tablespace_map. The server does not verify
    /// page checksums: it would fail the whole backup at its end.
    virtual BaseBackupStart start(const std::string& label) = 0;

    /// Gets tars, one after the other, the data directory's last, and then the manifest.
    class Receiver {
    public:
        virtual ~Receiver() = default;
        /// `tablespace`: its oid; nothing for the data directory.
        virtual void begin_archive(std::optional<std::uint32_t> tablespace) = 0;
        virtual void archive_data(ByteView bytes) = 0;
        /// All of the archive has come.
        virtual void end_archive() = 0;
        virtual void manifest_data(ByteView bytes) = 0;
    };
    /// After start(): all that the server sends. Returns where the backup ends, without waiting for the archive.
    virtual Lsn receive(Receiver& receiver) = 0;

    /// From any thread: makes a call that waits for the server fail soon.
    virtual void break_off() = 0;
};

} // namespace walgd::pg
