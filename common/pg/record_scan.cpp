#include "common/pg/record_scan.hpp"

#include "common/pg/crc32c.hpp"
#include "common/pg/wal_layout.hpp"

#include <algorithm>

namespace walgd::pg {

namespace {

using namespace wal_layout;

constexpr std::uint16_t kinds(std::initializer_list<unsigned> infos) {
    unsigned bits = 0;
    for (const auto info : infos) bits |= 1U << (info >> 4);
    return static_cast<std::uint16_t>(bits);
}
constexpr auto xlog_kinds = kinds({xlog_kind::shutdown_checkpoint, xlog_kind::online_checkpoint, xlog_kind::segment_switch,
                                   xlog_kind::parameter_change, xlog_kind::restore_point, xlog_kind::end_of_recovery});
constexpr auto tablespace_kinds = kinds({tablespace_kind::create});
constexpr auto xact_kinds = kinds({xact_kind::commit, xact_kind::abort, xact_kind::commit_prepared, xact_kind::abort_prepared});

unsigned byte_at(ByteView bytes, std::size_t offset) { return std::to_integer<unsigned>(bytes[offset]); }

} // namespace

RecordHeader RecordHeader::parse(ByteView first, Lsn begin) {
    return {begin,
            number_at<std::uint32_t>(first, 0),
            number_at<std::uint32_t>(first, 4),
            byte_at(first, info_at),
            byte_at(first, manager_at),
            number_at<std::uint32_t>(first, checksum_at)};
}

bool RecordScan::wants(unsigned manager, unsigned info) const {
    if (start_.wanted == Wanted::all) return true;
    if (manager == manager::xlog) return (xlog_kinds >> (info >> 4) & 1) != 0;
    if (manager == manager::tablespace) return (tablespace_kinds >> (info >> 4) & 1) != 0;
    return manager == manager::xact && (xact_kinds >> ((info & xact_kind::mask) >> 4) & 1) != 0;
}

void RecordScan::page(ByteView page) {
    if (ended_) return;
    enter(page);
    while (!ended_ && offset_ < page.size()) {
        if (left_ > 0)
            consume(page);
        else
            begin_record(page);
    }
    at_ = Lsn(at_.bytes() + page.size());
    offset_ = 0;
}

/// Reads the page's header, and what it says of the record under way.
void RecordScan::enter(ByteView page) {
    const bool is_one = page.size() == start_.page_bytes && page.size() > long_header_bytes &&
                        number_at<std::uint16_t>(page, 0) == start_.magic && number_at<std::uint64_t>(page, 8) == at_.bytes();
    const auto info = is_one ? number_at<std::uint16_t>(page, 2) : std::uint16_t{0};
    const auto rest = (info & continues_record) != 0 ? number_at<std::uint32_t>(page, 16) : 0;
    if (first_page_) whole_until_ = at_;
    if (first_page_ && rest > 0) {
        in_head_ = keep_ = true;
        left_ = head_bytes_ = rest;
    } else if (rest == 0) {
        // After a crash a record may have been given up: the page begins with another one.
        left_ = 0;
        keep_ = in_head_ = false;
    } else if (rest != left_) {
        ended_ = true;
    }
    first_page_ = false;
    ended_ = ended_ || !is_one;
    offset_ = (info & long_header) != 0 ? long_header_bytes : short_header_bytes;
}

void RecordScan::begin_record(ByteView page) {
    offset_ = (offset_ + 7) & ~std::size_t{7}; // where records begin
    if (offset_ >= page.size()) return;
    const auto left_in_page = page.size() - offset_;
    const auto length = number_at<std::uint32_t>(page, offset_);
    if (length < RecordHeader::bytes) {
        ended_ = true;
        return;
    }
    begin_ = place();
    if (left_in_page >= RecordHeader::bytes) {
        keep_ = wants(byte_at(page, offset_ + manager_at), byte_at(page, offset_ + info_at));
        if (!keep_ && length <= left_in_page) { // the everyday case
            offset_ += length;
            whole_until_ = Lsn((place().bytes() + 7) & ~std::uint64_t{7});
            return;
        }
        header_known_ = true;
    } else {
        keep_ = true;
        header_known_ = false;
    }
    record_.clear();
    left_ = length;
}

void RecordScan::consume(ByteView page) {
    const auto count = std::min<std::size_t>(left_, page.size() - offset_);
    auto& kept = in_head_ ? head_ : record_;
    if (keep_) {
        const auto wanted = std::min(count, (in_head_ ? head_bytes_max : record_bytes_max) - kept.size());
        const auto from = page.begin() + static_cast<std::ptrdiff_t>(offset_);
        kept.insert(kept.end(), from, from + static_cast<std::ptrdiff_t>(wanted));
    }
    if (keep_ && !in_head_ && !header_known_ && record_.size() >= RecordHeader::bytes) {
        header_known_ = true;
        keep_ = wants(byte_at(record_, manager_at), byte_at(record_, info_at));
    }
    left_ -= static_cast<std::uint32_t>(count);
    offset_ += count;
    if (left_ == 0) complete();
}

void RecordScan::complete() {
    whole_until_ = Lsn((place().bytes() + 7) & ~std::uint64_t{7});
    if (in_head_) {
        in_head_ = keep_ = false;
        head_end_ = whole_until_;
        return;
    }
    if (!keep_) return;
    keep_ = false;
    const auto header = RecordHeader::parse(record_, begin_);
    sink_.record(header, whole_until_, record_);
    ended_ = header.manager == manager::xlog && (header.info & 0xF0U) == xlog_kind::segment_switch;
}

bool record_checksum_right(ByteView record) {
    if (record.size() < RecordHeader::bytes) return false;
    std::vector<std::byte> ordered(record.begin() + RecordHeader::bytes, record.end());
    ordered.insert(ordered.end(), record.begin(), record.begin() + checksum_at);
    return crc32c(ordered) == number_at<std::uint32_t>(record, checksum_at);
}

} // namespace walgd::pg
