#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/lsn.hpp"

#include <cstdint>

namespace walgd::pg {

/// PostgreSQL cuts relations into files of this size (RELSEG_SIZE), unless it was built otherwise.
inline constexpr std::uint64_t relation_file_bytes = 1ULL << 30;

enum class PageState { valid, fresh /* never used, all of it zero or pd_upper 0 */, bad_header, bad_checksum };

/// PostgreSQL's page checksum (src/include/storage/checksum_impl.h). `block` is absolute in the relation, not in the file.
std::uint16_t page_checksum(ByteView page, std::uint32_t block);
/// Header plausible (walg-format.md, 4.2) and, if the page has one, checksum right.
PageState check_page(ByteView page, std::uint32_t block);
/// Fresh, or with a plausible header: what check_page() says where there are no checksums.
bool plausible_page(ByteView page);
bool fresh_page(ByteView page);
/// PD_ALL_VISIBLE.
bool all_visible_page(ByteView page);
/// pd_lsn of the page header.
Lsn page_lsn(ByteView page);

} // namespace walgd::pg
