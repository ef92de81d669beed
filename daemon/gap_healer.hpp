#pragma once
#include "daemon/archive_view.hpp"
#include "daemon/hooks.hpp"
#include "daemon/wal/wal_service.hpp"

#include <set>
#include <string>

namespace walgd::daemon {

/// Segments that the archive lacks between its oldest base backup and its newest segment: stored again, where the data directory
/// still has them; else named, once, with what that costs.
class GapHealer {
public:
    GapHealer(WalService& wal, Hooks& hooks, Log& log, std::string pgdata)
        : wal_(wal), hooks_(hooks), log_(log), pgdata_(std::move(pgdata)) {}

    /// How many were stored.
    awaitable<std::size_t> heal(std::vector<archive::CheckedRun> missing, std::uint64_t segment_bytes, bool backup_since);

private:
    awaitable<bool> store(pg::Segment segment, std::uint64_t segment_bytes);
    bool is_whole(pg::Segment segment, std::uint64_t segment_bytes) const;

    WalService& wal_;
    Hooks& hooks_;
    Log& log_;
    std::string pgdata_;
    // Of the last time.
    std::set<std::string> told_;   ///< first segments of gaps
    std::set<std::string> stored_; ///< a listing that was under way still shows them missing
};

/// The gaps of a view, and whether a base backup begins after the last of them.
std::vector<archive::CheckedRun> gaps_of(const ArchiveView& view);

} // namespace walgd::daemon
