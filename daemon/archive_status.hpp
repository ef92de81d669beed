#pragma once
#include "common/base/async.hpp"
#include "common/base/bytes.hpp"
#include "common/base/handles.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <string>
#include <vector>

namespace walgd::daemon {

/// PostgreSQL's pg_wal/archive_status, watched: NAME.ready says that it wants NAME archived, NAME.done that it was
/// (src/backend/access/transam/xlogarchive.c). Only reads, but for mark_done(). Lives on the I/O thread.
class ArchiveStatus {
public:
    /// Watches from here on. Error(misconfigured) where the folder cannot be read.
    ArchiveStatus(asio::any_io_executor io, const std::string& pgdata);

    struct Change {
        std::string name; ///< of the WAL file
        bool ready;       ///< its .ready appeared; else it went
    };
    struct Changes {
        std::vector<Change> changes;
        bool lost = false; ///< some were missed: scan() again
    };
    /// Waits for what comes next. Error(transient) when the folder itself went away.
    awaitable<Changes> next();
    /// The names of all files that are .ready. Blocks on the disk.
    std::vector<std::string> scan() const;
    bool is_ready(const std::string& name) const;
    /// The WAL file itself, open for reading; nothing when there is none.
    UniqueFd open(const std::string& name) const;
    /// Does what PostgreSQL does with a file that was archived: renames .ready to .done. False when .ready is gone.
    bool mark_done(const std::string& name) const;

private:
    Changes parse(ByteView events) const;

    std::string pg_wal_, folder_;
    asio::posix::stream_descriptor inotify_;
};

} // namespace walgd::daemon
