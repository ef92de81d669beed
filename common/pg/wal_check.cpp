#include "common/pg/wal_check.hpp"

#include "common/base/error.hpp"
#include "common/pg/wal_layout.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace walgd::pg {

namespace {

using namespace wal_layout;

bool all_zero(ByteView bytes) {
    return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

} // namespace

void WalCheck::refuse(std::size_t offset, const std::string& cause) const {
    throw Error(ErrorKind::corrupt, fmt::format("{}: at {} {}", object_, lsn_at(offset).text(), cause), "recovery stops there");
}

void WalCheck::forget_record() {
    left_ = 0;
    whole_ = false;
    previous_.reset();
}

void WalCheck::begin(std::string name, std::string object) {
    const auto before = segment_;
    const auto segment_bytes = header_.segment_bytes;
    name_ = std::move(name);
    object_ = std::move(object);
    segment_.reset();
    page_begin_ = 0;
    page_.clear();
    switched_ = false;
    const auto next = segment_bytes == 0 ? std::nullopt : parse_segment(name_, segment_bytes);
    const bool follows = before && next && next->timeline == before->timeline && next->number == before->number + 1;
    if (!follows) forget_record();
    header_ = {};
}

void WalCheck::write(ByteView bytes) {
    while (!bytes.empty()) {
        const auto page_bytes = header_.page_bytes == 0 ? wal_header_bytes : std::size_t{header_.page_bytes};
        const auto count = std::min(bytes.size(), page_bytes - page_.size());
        page_.append(bytes.first(count));
        bytes = bytes.subspan(count);
        if (page_.size() < page_bytes) return;
        if (header_.page_bytes == 0) {
            header_ = parse_wal_header(page_.view(), object_);
            if (!std::has_single_bit(header_.page_bytes) || header_.page_bytes < 1024 || header_.page_bytes > 65536)
                throw Error(ErrorKind::corrupt, fmt::format("{} says that its pages have {} bytes", object_, header_.page_bytes));
            check_wal_header(header_, name_, header_.segment_bytes);
            continue;
        }
        check_page();
        page_begin_ += page_bytes;
        page_.clear();
    }
}

void WalCheck::finish() {
    if (header_.page_bytes == 0 || page_begin_ != header_.segment_bytes || !page_.empty())
        throw Error(ErrorKind::corrupt, fmt::format("{} has {} bytes, its header says {}", object_, page_begin_ + page_.size(),
                                                    header_.segment_bytes));
    segment_ = parse_segment(name_, header_.segment_bytes);
}

std::size_t WalCheck::check_page_header(ByteView page) {
    const auto info = number_at<std::uint16_t>(page, 2);
    if (number_at<std::uint16_t>(page, 0) != header_.magic) refuse(0, "a page has another magic");
    if (number_at<std::uint64_t>(page, 8) != lsn_at(0).bytes()) refuse(0, "a page is of another place");
    if ((info & ~known_flags) != 0) refuse(0, fmt::format("a page has the flags {:04X}", info));
    if (((info & long_header) != 0) != (page_begin_ == 0)) refuse(0, "a page header has the wrong length");
    const auto segment = parse_segment(name_, header_.segment_bytes);
    const auto timeline = TimelineId(number_at<std::uint32_t>(page, 4));
    if (timeline < header_.timeline || (segment && timeline > segment->timeline))
        refuse(0, fmt::format("a page is of timeline {}", timeline.number()));
    return page_begin_ == 0 ? wal_header_bytes : short_header_bytes;
}

void WalCheck::check_continuation(ByteView page, bool continues, bool overwritten) {
    const auto rest = number_at<std::uint32_t>(page, 16);
    if (left_ > 0 && !continues) {
        if (!overwritten) refuse(0, fmt::format("a record is cut, {} bytes of it are missing", left_));
        // A server that crashed in the middle of a record begins with another one here.
        forget_record();
    } else if (left_ > 0 && rest != left_)
        refuse(0, fmt::format("a record goes on with {} bytes, {} are missing of it", rest, left_));
    else if (left_ == 0 && continues) {
        if (previous_) refuse(0, "the rest of a record stands where none was begun");
        left_ = rest;
        whole_ = false;
    }
}

void WalCheck::check_page() {
    // Recovery goes on in the next segment. A server that crashed while it emptied this one left what the file held before.
    if (switched_) return;
    const auto page = page_.view();
    auto offset = check_page_header(page);
    const auto info = number_at<std::uint16_t>(page, 2);
    check_continuation(page, (info & continues_record) != 0, (info & overwrites_record) != 0);
    while (offset < page.size()) {
        if (left_ > 0) {
            const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, page.size() - offset));
            feed(page.subspan(offset, count));
            offset += count;
            left_ -= count;
            if (left_ > 0) return;
            if (whole_) finish_record();
            if (switched_) return;
        }
        const auto aligned = (offset + 7) & ~std::size_t{7};
        if (!all_zero(page.subspan(offset, aligned - offset))) refuse(offset, "the padding behind a record is not empty");
        offset = aligned;
        if (offset < page.size()) start_record(page, offset);
    }
}

void WalCheck::start_record(ByteView page, std::size_t offset) {
    const auto length = number_at<std::uint32_t>(page, offset);
    if (length == 0) refuse(offset, "the WAL ends in the middle of the segment");
    if (length < record_header_bytes) refuse(offset, fmt::format("a record says that it has {} bytes", length));
    left_ = length;
    whole_ = true;
    record_bytes_ = 0;
    crc_ = 0;
    start_ = lsn_at(offset);
}

void WalCheck::feed(ByteView bytes) {
    const auto count = std::min(bytes.size(), record_.size() - record_bytes_);
    if (whole_ && count > 0) {
        std::memcpy(record_.data() + record_bytes_, bytes.data(), count);
        record_bytes_ += count;
    }
    if (whole_) crc_ = crc32c(bytes.subspan(count), crc_);
}

void WalCheck::finish_record() {
    const ByteView record(record_);
    crc_ = crc32c(record.first(checksum_at), crc_);
    const auto offset = static_cast<std::size_t>(start_.bytes() - header_.address.bytes() - page_begin_);
    if (crc_ != number_at<std::uint32_t>(record, checksum_at)) refuse(offset, "a record's checksum is wrong");
    const Lsn previous(number_at<std::uint64_t>(record, previous_at));
    if (previous_ && previous != *previous_)
        refuse(offset,
               fmt::format("a record follows the one at {}, the one before it is at {}", previous.text(), previous_->text()));
    previous_ = start_;
    ++records_;
    const auto manager = std::to_integer<unsigned>(record[manager_at]);
    const auto kind = std::to_integer<unsigned>(record[info_at]) & 0xF0U;
    switched_ = manager == xlog_manager && kind == segment_switch;
}

} // namespace walgd::pg
