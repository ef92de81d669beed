#pragma once
#include "common/pg/lsn.hpp"
#include "common/pg/replication_message.hpp"
#include "common/pg/server.hpp"

#include <memory>
#include <optional>
#include <string>
#include <variant>

namespace walgd::pg {

/// What a server says of itself on a replication connection.
struct ReplicationFacts {
    SystemIdentifier system{0};
    TimelineId timeline{0};
    Lsn flushed{0}; ///< end of the WAL that it can send; on a standby of what it received
    std::uint64_t segment_bytes = 0;
};

/// A physical slot.
struct ReplicationSlot {
    std::optional<Lsn> restart; ///< the server keeps all WAL from here on; nothing: it keeps none for this slot
};

/// What a server goes on with behind the timeline that was streamed.
struct NextTimeline {
    TimelineId timeline{0};
    Lsn begin{0}; ///< where the streamed timeline was left
};

/// Why no more WAL comes; the connection can start another stream unless `removed` is set.
struct StreamEnd {
    std::optional<NextTimeline> next; ///< all of the timeline was sent
    std::string removed;              ///< the server's words, when it does not have the WAL any more
};

/// No message is there yet.
struct NothingYet {};
using StreamEvent = std::variant<NothingYet, WalData, Keepalive, StreamEnd>;

/// A physical replication connection, for one thread. Errors name host, port and user: Error(transient) when the server went
/// away or the slot is in use, Error(denied) when it turned us away, Error(protocol) when it spoke nonsense.
class Replication {
public:
    /// The slot of a server older than 15 is looked for on a second, ordinary connection with the same options.
    static std::unique_ptr<Replication> connect(const ConnectionOptions& options);
    virtual ~Replication() = default;
    /// For messages: host, port, user.
    virtual const std::string& name() const = 0;

    virtual ReplicationFacts identify() = 0;
    /// The bytes of TTTTTTTT.history; nothing when the server has no such file.
    virtual std::optional<std::string> timeline_history(TimelineId timeline) = 0;
    /// Nothing when there is no slot of that name.
    virtual std::optional<ReplicationSlot> slot(const std::string& name) = 0;
    /// A physical slot that keeps WAL from now on.
    virtual void create_slot(const std::string& name) = 0;

    struct Start {
        std::string slot;
        TimelineId timeline{0};
        Lsn lsn{0};
    };
    /// Begins to stream. The end at once, when the timeline has nothing at or after `lsn`.
    virtual std::optional<StreamEnd> start(const Start& start) = 0;
    /// What came next, without waiting for it. Views into it are good until the next call.
    virtual StreamEvent next() = 0;
    virtual void report(const StandbyStatus& status) = 0;
    /// Tells the server that no more is wanted.
    virtual void finish() = 0;
    /// To wait on before next().
    virtual int socket() const = 0;
};

/// Error(misconfigured) when PostgreSQL does not take it as a slot's name.
void check_slot_name(const std::string& name);

} // namespace walgd::pg
