#pragma once
#include "common/base/async.hpp"
#include "common/base/bytes.hpp"
#include "common/pg/ready_files.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <string>
#include <sys/types.h>
#include <vector>

namespace walgd::daemon {

/// PostgreSQL's pg_wal/archive_status, watched. Lives on the I/O thread.
class ArchiveStatus : public pg::ReadyFiles {
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
    /// False where the path leads to another folder than the one that is watched, or to none: next() ends. The data directory
    /// was moved away, of which inotify tells nothing.
    bool in_place();

private:
    Changes parse(ByteView events) const;

    asio::posix::stream_descriptor inotify_;
    dev_t device_ = 0;
    ino_t inode_ = 0;
    bool gone_ = false;
};

} // namespace walgd::daemon
