#include "common/backup/increment.hpp"

#include "common/base/error.hpp"
#include "common/base/little_endian.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

/// 32 GiB of 8 KiB pages in one file. PostgreSQL's files end at 1 GiB, unless it was built with another --with-segsize.
constexpr std::uint32_t blocks_max = 1 << 22;

} // namespace

std::string compose_increment_head(const IncrementHead& head) {
    std::string text(increment_magic);
    text.reserve(increment_bytes(head.blocks.size(), 0));
    append_number(text, head.file_bytes);
    append_number(text, static_cast<std::uint32_t>(head.blocks.size()));
    for (const auto block : head.blocks) append_number(text, block);
    return text;
}

std::uint64_t increment_bytes(std::uint64_t block_count, std::uint32_t block_bytes) {
    return increment_magic.size() + 8 + 4 + block_count * (4 + std::uint64_t{block_bytes});
}

void IncrementParser::write(ByteView bytes) {
    while (!bytes.empty()) {
        if (at_ == At::fixed)
            bytes = read_fixed(bytes);
        else if (at_ == At::blocks)
            bytes = read_blocks(bytes);
        else
            bytes = read_pages(bytes);
    }
}

ByteView IncrementParser::read_fixed(ByteView bytes) {
    const auto count = std::min(bytes.size(), fixed_bytes - buffered_);
    std::ranges::copy(bytes.first(count), buffer_ + buffered_);
    buffered_ += count;
    if (buffered_ == fixed_bytes) start_blocks();
    return bytes.subspan(count);
}

void IncrementParser::start_blocks() {
    const auto start = text_of({buffer_, increment_magic.size()});
    if (start.substr(0, 2) != increment_magic.substr(0, 2) || start[3] != increment_magic[3]) refuse("it does not begin as one");
    if (start[2] != increment_magic[2]) refuse(fmt::format("it is of version '{}', which nobody knows", start[2]));
    head_.file_bytes = number_at<std::uint64_t>(buffer_, 4);
    count_ = number_at<std::uint32_t>(buffer_, 12);
    const auto blocks_of_file = head_.file_bytes / block_bytes_;
    if (count_ > blocks_of_file || count_ > blocks_max)
        refuse(fmt::format("it says it has {} pages of a file that has {} bytes", count_, head_.file_bytes));
    buffered_ = 0;
    at_ = At::blocks;
    if (count_ > 0) return;
    at_ = At::pages;
    handler_.head(head_);
}

ByteView IncrementParser::read_blocks(ByteView bytes) {
    constexpr std::size_t number_bytes = 4;
    while (!bytes.empty() && head_.blocks.size() < count_) {
        const auto count = std::min(bytes.size(), number_bytes - buffered_);
        std::ranges::copy(bytes.first(count), buffer_ + buffered_);
        buffered_ += count;
        bytes = bytes.subspan(count);
        if (buffered_ < number_bytes) break;
        buffered_ = 0;
        add_block(number_at<std::uint32_t>(buffer_, 0));
    }
    if (head_.blocks.size() == count_) {
        at_ = At::pages;
        handler_.head(head_);
    }
    return bytes;
}

void IncrementParser::add_block(std::uint32_t block) {
    if (block >= head_.file_bytes / block_bytes_)
        refuse(fmt::format("its block {} is behind the end of a file of {} bytes", block, head_.file_bytes));
    if (!head_.blocks.empty() && block <= head_.blocks.back())
        refuse(fmt::format("its block {} comes after block {}", block, head_.blocks.back()));
    head_.blocks.push_back(block);
}

ByteView IncrementParser::read_pages(ByteView bytes) {
    while (!bytes.empty()) {
        if (page_ >= head_.blocks.size()) refuse("bytes follow its last page");
        const auto count = std::min<std::size_t>(bytes.size(), block_bytes_ - page_used_);
        handler_.page(std::uint64_t{head_.blocks[page_]} * block_bytes_ + page_used_, bytes.first(count));
        page_used_ += static_cast<std::uint32_t>(count);
        bytes = bytes.subspan(count);
        if (page_used_ < block_bytes_) break;
        page_used_ = 0;
        ++page_;
    }
    return bytes;
}

bool IncrementParser::can_skip(std::uint64_t after, std::uint64_t count) const {
    if (at_ != At::pages || count == 0) return false;
    const auto begin = page_used_ + after;
    const auto first = page_ + begin / block_bytes_, last = page_ + (begin + count - 1) / block_bytes_;
    if (last >= head_.blocks.size()) return false;
    const auto wanted = [this](std::uint32_t block) { return handler_.wants(std::uint64_t{block} * block_bytes_); };
    return std::none_of(head_.blocks.begin() + static_cast<std::ptrdiff_t>(first),
                        head_.blocks.begin() + static_cast<std::ptrdiff_t>(last) + 1, wanted);
}

void IncrementParser::skip(std::uint64_t count) {
    const auto used = page_used_ + count;
    page_ += used / block_bytes_;
    page_used_ = static_cast<std::uint32_t>(used % block_bytes_);
}

void IncrementParser::finish() {
    if (at_ != At::pages || page_ < head_.blocks.size()) refuse("it is cut");
}

void IncrementParser::refuse(const std::string& cause) const {
    throw Error(ErrorKind::corrupt, fmt::format("{} is not a good increment: {}", object_, cause),
                "the object is damaged, or the files_metadata.json beside it is of another backup: restore another one");
}

} // namespace walgd::backup
