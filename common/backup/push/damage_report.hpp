#pragma once
#include "common/archive/documents.hpp"
#include "common/base/log.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace walgd::backup {

/// So many damaged blocks of a file are named in the log, and, unless all are asked for, in files_metadata.json (WAL-G's number).
inline constexpr std::size_t named_corrupt_blocks_max = 10;

/// A page that is being written reads wrong for a moment: it is damaged when so many looks at it found it so.
inline constexpr int reads_of_a_page_max = 5;

// WAL-G's words for what a look at the pages found, since scripts search its log for them.

/// The first of a file's damaged blocks, by number.
void warn_of_damage(Log& log, std::string_view path, const archive::FileDescription& found);
/// What a finished backup says of them.
std::string damage_text(std::uint64_t corrupt_blocks);
/// A file that ends within a page: what is behind its last whole one cannot be checked.
void warn_of_file_size(Log& log, std::string_view path, std::uint64_t bytes, std::uint32_t page_bytes);

} // namespace walgd::backup
