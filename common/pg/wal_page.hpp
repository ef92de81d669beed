#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/lsn.hpp"
#include "common/pg/wal_name.hpp"

namespace walgd::pg {

/// Bytes at the start of a segment that parse_wal_header wants.
inline constexpr std::size_t wal_header_bytes = 40;

/// The first page's long header (XLogLongPageHeaderData in src/include/access/xlog_internal.h).
struct WalHeader {
    std::uint16_t magic = 0; ///< XLOG_PAGE_MAGIC of the server's version
    TimelineId timeline{0};
    Lsn address{0};
    SystemIdentifier system{0};
    std::uint32_t segment_bytes = 0;
    std::uint32_t page_bytes = 0;
};

/// Error(corrupt), naming `file`, when the bytes are not a segment's long header. Never reads past `first_bytes`.
WalHeader parse_wal_header(ByteView first_bytes, std::string_view file);

/// Error(corrupt) or Error(refused) when a segment or .partial called `name`, `file_bytes` long, cannot have this header: size,
/// timeline, address. (A segment that a promoted server took over may carry an older timeline of its own history: the header's
/// timeline may be lower, never higher.)
void check_wal_header(const WalHeader& header, std::string_view name, std::uint64_t file_bytes);

/// "13" to "18" for a page magic; nothing for an unknown one, which is accepted if it is newer than any known.
std::optional<int> server_version_of_magic(std::uint16_t magic);
/// The version whose formats WAL with that magic is read as: an unknown one's as the newest that is known.
int read_as_version(std::uint16_t magic);

} // namespace walgd::pg
