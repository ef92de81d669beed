#include "common/backup/push/damage_report.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <span>

namespace walgd::backup {

void warn_of_damage(Log& log, std::string_view path, const archive::FileDescription& found) {
    const auto named = std::min(found.corrupt_blocks.size(), named_corrupt_blocks_max);
    log.warn("Corruption found in {}: {} of its blocks are damaged: {}{}", path, found.corrupt_block_count,
             fmt::join(std::span(found.corrupt_blocks).first(named), ", "), found.corrupt_block_count > named ? " ..." : "");
}

std::string damage_text(std::uint64_t corrupt_blocks) {
    return fmt::format("{} blocks of the cluster are damaged: files_metadata.json of the backup names them", corrupt_blocks);
}

void warn_of_file_size(Log& log, std::string_view path, std::uint64_t bytes, std::uint32_t page_bytes) {
    log.warn("{} has an invalid file size, {} bytes: the {} behind its last whole page were not checked", path, bytes,
             bytes % page_bytes);
}

} // namespace walgd::backup
