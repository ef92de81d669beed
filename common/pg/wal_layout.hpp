#pragma once
#include "common/base/little_endian.hpp"

#include <cstdint>

/// Where things are in WAL's pages and records, little-endian as PostgreSQL writes them on the machines it is built for here.
namespace walgd::pg::wal_layout {

/// A page's header: magic:2 info:2 timeline:4 address:8 rest_of_record:4, padded to 24; the first one of a segment has 40 bytes:
/// pad:4 system:8 segment_bytes:4 page_bytes:4 behind rest_of_record.
inline constexpr std::size_t short_header_bytes = 24, long_header_bytes = 40;
inline constexpr std::uint16_t continues_record = 1, long_header = 2, overwrites_record = 8, known_flags = 15; ///< of info

/// A record's: length:4 transaction:4 previous:8 info:1 resource_manager:1 padding:2 checksum:4, then headers of blocks, then
/// data. The checksum is of what follows the header, then of the header up to itself.
inline constexpr std::size_t record_header_bytes = 24, previous_at = 8, info_at = 16, manager_at = 17, checksum_at = 20;
inline constexpr unsigned xlog_manager = 0, segment_switch = 0x40;

} // namespace walgd::pg::wal_layout
