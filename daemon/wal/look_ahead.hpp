#pragma once
#include "daemon/wal/archive_status.hpp"
#include "daemon/wal/wal_service.hpp"

#include <memory>
#include <optional>
#include <string>

namespace walgd::daemon {

/// Stores what PostgreSQL will ask for next, before it asks: follows archive_status into the WAL queue, and pushes what the queue
/// says. Works only where PGDATA can be read; where it cannot, WAL is stored when PostgreSQL asks.
class LookAhead {
public:
    struct Options {
        std::string pgdata;
        bool ready_rename = false; ///< PG_READY_RENAME: what was stored ahead is marked .done for PostgreSQL
    };
    LookAhead(archive::Archive& archive, WalService& wal, Options options);

    /// Until cancelled.
    awaitable<void> run();
    /// Empty while archive_status is watched; else why it is not.
    const std::string& not_watching() const { return not_watching_; }

private:
    awaitable<void> follow();
    awaitable<void> follow_once();
    awaitable<void> scan_now_and_then();
    awaitable<void> scan();
    awaitable<void> pump();
    bool begin(const std::string& name);
    awaitable<void> store(std::string name, FileIdentity identity, UniqueFd fd);
    void mark_done(const std::string& name, const FileIdentity& identity);

    archive::Archive& archive_;
    WalService& wal_;
    Options options_;
    TaskGroup tasks_;
    std::shared_ptr<ArchiveStatus> status_; ///< nullptr while not watching
    std::string not_watching_;
};

} // namespace walgd::daemon
