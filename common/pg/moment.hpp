#pragma once
#include "common/base/time_text.hpp"
#include "common/pg/record_scan.hpp"

#include <optional>
#include <string>
#include <variant>
#include <vector>

/// Records that a restore can be aimed at, of PostgreSQL 13 to 18.
namespace walgd::pg {

/// A transaction committed or aborted, prepared ones included: `xid` is what recovery_target_xid means.
struct TransactionEnd {
    bool commit = true;
    std::uint32_t xid = 0; ///< 0: the record is longer than what was kept of it, and its prepared transaction is not known
    Time time{};
    std::vector<std::uint32_t> subtransactions{};
};

struct RestorePoint {
    std::string name;
    Time time{};
};

struct Checkpoint {
    bool shutdown = false;
    Lsn redo{0};
    TimelineId timeline{0}, previous_timeline{0};
    std::uint64_t next_xid = 0; ///< with its epoch
    Time time{};                ///< to the second
};

/// A timeline begins behind this record.
struct EndOfRecovery {
    TimelineId timeline{0}, previous_timeline{0};
    Time time{};
};

using Moment = std::variant<TransactionEnd, RestorePoint, Checkpoint, EndOfRecovery>;

/// What a record says; nothing for every other record, and for one that is cut before what matters. The formats: xl_xact_commit
/// and xl_xact_abort in src/include/access/xact.h, xl_restore_point and xl_end_of_recovery in access/xlog_internal.h, CheckPoint
/// in catalog/pg_control.h. `version`: of the server, 13 to 18.
std::optional<Moment> parse_moment(const RecordHeader& header, ByteView record, int version);

/// True for the records of commits and aborts.
bool ends_transaction(const RecordHeader& header);

/// As xact_time and rp_time count: microseconds since 2000.
Time time_of_postgres(std::int64_t microseconds);

} // namespace walgd::pg
