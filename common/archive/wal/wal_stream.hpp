#pragma once
#include "common/archive/wal/wal_assembler.hpp"
#include "common/archive/wal/wal_keeper.hpp"
#include "common/base/wake.hpp"
#include "common/pg/replication.hpp"

#include <chrono>
#include <functional>
#include <optional>

namespace walgd::archive {

/// One timeline being streamed: what comes is assembled, full segments go to the keeper, the server is told what is stored. While
/// one segment waits for the one before it to be stored, nothing is read: the server waits in turn.
class WalStream {
public:
    /// Told of every stored segment.
    using OnStored = std::function<void(pg::Segment)>;
    struct Room {
        pg::Replication& server;
        WalKeeper& keeper;
        Wake& wake; ///< set when a push ended or `stop` was asked for
        std::stop_token stop;
        OnStored on_stored;
    };
    /// `server` has begun to stream from where the assembler is.
    WalStream(Room room, WalAssembler& assembler);

    /// Returns at the timeline's end, when all but the last, begun segment is stored. Nothing when `stop` was asked for: what was
    /// being stored then may take some seconds more, and the server is told.
    std::optional<pg::StreamEnd> run();

private:
    using Clock = std::chrono::steady_clock;

    bool step();
    bool take(const pg::StreamEvent& event);
    void take_wal(const pg::WalData& data);
    void answer(const pg::Keepalive& keepalive);
    void hand_over();
    void collect();
    void report(bool reply_wanted = false);
    void check_silence();
    void wait();
    void finish();
    bool listening() const { return rest_.empty() && !assembler_.full() && !end_; }

    Room room_;
    WalAssembler& assembler_;
    pg::Lsn stored_;                    ///< everything before it is stored
    std::optional<pg::Segment> pushed_; ///< what the keeper has
    ByteView rest_;                     ///< of the message that came last
    std::optional<pg::StreamEnd> end_;
    bool begun_ = false; ///< WAL came: the server has what we asked for
    Clock::time_point heard_ = Clock::now(), reported_ = Clock::now();
};

} // namespace walgd::archive
