#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/block_changes.hpp"
#include "common/pg/lsn.hpp"

#include <optional>
#include <string_view>
#include <vector>

/// The WAL summaries of PostgreSQL 17 and later (summarize_wal = on): files of pg_wal/summaries, each of which says what a
/// stretch of WAL changed (src/backend/backup/walsummary.c, src/common/blkreftable.c).
namespace walgd::pg {

/// One file: the stretch of WAL that it summarises.
struct WalSummary {
    TimelineId timeline{0};
    Lsn start{0}, end{0};
    friend auto operator<=>(const WalSummary&, const WalSummary&) = default;
};

/// "TTTTTTTTSSSSSSSSSSSSSSSSEEEEEEEEEEEEEEEE.summary"; nothing for any other name.
std::optional<WalSummary> parse_summary_name(std::string_view name);
/// The name of its file.
std::string summary_name(const WalSummary& summary);

/// A stretch of WAL of one timeline.
struct WalRange {
    TimelineId timeline{0};
    Lsn start{0}, end{0};
    friend auto operator<=>(const WalRange&, const WalRange&) = default;
};

/// Those of `there` that together say all of `range`, in order; nothing if there is a gap.
std::optional<std::vector<WalSummary>> covering(const std::vector<WalSummary>& there, const WalRange& range);

/// Appends what the file says to `changes`. Error(corrupt), naming `file`, when it is cut, damaged or of another version.
void read_wal_summary(ByteView content, std::string_view file, BlockChanges& changes);

} // namespace walgd::pg
