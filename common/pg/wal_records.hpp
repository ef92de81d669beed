#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/lsn.hpp"

#include <optional>

namespace walgd::pg {

/// The last checkpoint record (online or shutdown) that begins in this segment and before `before`; nothing if there is none.
/// Follows the records from the segment's first page on (XLogRecord in src/include/access/xlogrecord.h, page headers in
/// access/xlog_internal.h) and stops where they end. Error(corrupt), naming `file`, when the first page is none.
std::optional<Lsn> last_checkpoint_record(ByteView segment, Lsn before, std::string_view file);

} // namespace walgd::pg
