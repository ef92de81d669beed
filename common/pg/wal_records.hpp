#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/lsn.hpp"
#include "common/pg/wal_page.hpp"

#include <optional>

namespace walgd::pg {

/// Error(corrupt), naming `file`, when its header says that its pages have a size that PostgreSQL's never have.
void check_page_bytes(const WalHeader& header, std::string_view file);

/// The last checkpoint record (online or shutdown) that begins in this segment and before `before`; nothing if there is none.
/// Follows the records from the segment's first page on (XLogRecord in src/include/access/xlogrecord.h, page headers in
/// access/xlog_internal.h) and stops where they end. Error(corrupt), naming `file`, when the first page is none.
std::optional<Lsn> last_checkpoint_record(ByteView segment, Lsn before, std::string_view file);

/// True if a record goes on at this segment's begin, or was given up there, so that it begins in a segment before.
bool begins_within_record(ByteView segment);

/// Where the record begins that the segment's end cuts; nothing if it cuts none, or one that began before the segment.
std::optional<Lsn> cut_record(ByteView segment, std::string_view file);

} // namespace walgd::pg
