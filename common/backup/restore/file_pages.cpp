#include "common/backup/restore/file_pages.hpp"

#include <charconv>
#include <fmt/format.h>
#include <optional>

namespace walgd::backup {

namespace {

/// More than any file of PostgreSQL has; a text that says so is damaged.
constexpr std::uint64_t file_bytes_max = std::uint64_t{1} << 40;

/// Takes a hexadecimal number off the front.
std::optional<std::uint64_t> take_number(std::string_view& text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return number;
}

bool take_char(std::string_view& text, char c) {
    if (text.empty() || text.front() != c) return false;
    text.remove_prefix(1);
    return true;
}

} // namespace

FilePages::FilePages(std::uint64_t file_bytes, std::uint32_t block_bytes)
    : file_bytes_(file_bytes), limit_(file_bytes), block_bytes_(block_bytes), bits_(file_bytes / block_bytes / 64 + 1) {}

void FilePages::add(const std::vector<std::uint32_t>& blocks, std::uint64_t file_bytes) {
    for (const auto block : blocks)
        if (std::uint64_t{block} * block_bytes_ < limit_) bits_[block / 64] |= std::uint64_t{1} << (block % 64);
    limit_ = std::min(limit_, file_bytes);
}

FilePages::Run FilePages::wanted_run(std::uint64_t from, std::uint64_t to) const {
    const auto next_page = [&](std::uint64_t offset) { return (offset / block_bytes_ + 1) * block_bytes_; };
    const auto end = std::min(to, limit_);
    auto begin = from;
    while (begin < end && !wants(begin)) begin = next_page(begin);
    if (begin >= end) return {to, to};
    auto last = begin;
    while (last < end && wants(last)) last = next_page(last);
    return {begin, std::min(last, end)};
}

std::string FilePages::text() const {
    auto text = fmt::format("{:x} {:x}", file_bytes_, limit_);
    const auto blocks = bits_.size() * 64;
    for (std::uint64_t block = 0; block < blocks; ++block) {
        if (!has(block)) continue;
        const auto first = block;
        while (block + 1 < blocks && has(block + 1)) ++block;
        text += first == block ? fmt::format(" {:x}", first) : fmt::format(" {:x}-{:x}", first, block);
    }
    return text;
}

FilePages FilePages::parse(std::string_view text, std::uint32_t block_bytes) {
    const FilePages nothing(0, block_bytes);
    const auto file_bytes = take_number(text);
    if (!file_bytes || *file_bytes > file_bytes_max || !take_char(text, ' ')) return nothing;
    const auto limit = take_number(text);
    if (!limit || *limit > *file_bytes) return nothing;
    FilePages pages(*file_bytes, block_bytes);
    pages.limit_ = *limit;
    while (take_char(text, ' ')) {
        const auto first = take_number(text);
        const auto last = first && take_char(text, '-') ? take_number(text) : first;
        if (!last || *last < *first || *last >= pages.bits_.size() * 64) return nothing;
        for (auto block = *first; block <= *last; ++block) pages.bits_[block / 64] |= std::uint64_t{1} << (block % 64);
    }
    return text.empty() ? pages : nothing;
}

} // namespace walgd::backup
