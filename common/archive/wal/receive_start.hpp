#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/wal/wal_assembler.hpp"
#include "common/pg/timeline_history.hpp"

#include <map>
#include <optional>

namespace walgd::archive {

/// The newest stored segment of each timeline, by its number.
using NewestSegments = std::map<pg::TimelineId, std::uint64_t>;

/// Asks the storage.
awaitable<NewestSegments> newest_segments(Archive& archive, std::uint64_t segment_bytes);

/// What is known when a server was connected to.
struct ReceiveFacts {
    std::uint64_t segment_bytes = 0;
    pg::TimelineHistory history; ///< of the server's timeline
    pg::Lsn flushed{0};          ///< end of the server's WAL
    std::optional<pg::Lsn> slot; ///< what the slot makes the server keep begins here
    NewestSegments stored;
    bool accept_gap = false; ///< what is stored does not matter
};

/// Where to receive from, always the start of a segment: what the slot kept, if that leaves no hole behind what is stored (all
/// of it is compared with what is stored already); else what follows the newest stored segment of the server's own history;
/// else, with neither, the server's current segment.
WalPosition choose_start(const ReceiveFacts& facts);

} // namespace walgd::archive
