#pragma once
#include "common/archive/wal/wal_fetch.hpp"
#include "common/base/handles.hpp"

#include <string>

namespace walgd::archive {

/// Segments to look into: those that the server still has, and of the others what the archive has. On the I/O thread.
class SegmentFiles {
public:
    /// `pg_wal`: the server's folder; empty: there is none.
    SegmentFiles(Archive& archive, std::string pg_wal) : archive_(archive), pg_wal_(std::move(pg_wal)), fetcher_(archive) {}

    /// Open for reading; from the archive into a file without a name. Error(corrupt) when it is in neither place.
    awaitable<UniqueFd> open(std::string name);
    /// Any file of the archive, likewise; nothing open when there is none.
    awaitable<UniqueFd> open_stored(std::string name);

private:
    Archive& archive_;
    std::string pg_wal_;
    WalFetcher fetcher_;
};

} // namespace walgd::archive
