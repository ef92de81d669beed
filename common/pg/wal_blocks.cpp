#include "common/pg/wal_blocks.hpp"

#include "common/base/error.hpp"
#include "common/pg/crc32c.hpp"
#include "common/pg/wal_layout.hpp"
#include "common/pg/wal_page.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace walgd::pg {

namespace {

using namespace wal_layout;

constexpr std::size_t record_bytes_max = 1020 << 20; // XLogRecordMaxSize

} // namespace

void WalBlockReader::refuse(std::string_view file, const std::string& cause) const {
    throw Error(ErrorKind::corrupt, fmt::format("the WAL in {} does not go on at {}: {}", file, at_.text(), cause));
}

void WalBlockReader::segment(ByteView content, std::string_view file) {
    const auto header = parse_wal_header(content.first(std::min(content.size(), wal_header_bytes)), file);
    const auto version = server_version_of_magic(header.magic);
    if (!version) refuse(file, fmt::format("it is of a PostgreSQL that nobody knows, magic {:04X}", header.magic));
    if (!std::has_single_bit(header.page_bytes) || header.page_bytes < 1024 || content.size() % header.page_bytes != 0)
        refuse(file, fmt::format("its pages have {} bytes", header.page_bytes));
    const auto start = header.address.bytes();
    if (start > at_.bytes() || at_.bytes() - start >= content.size())
        refuse(file, fmt::format("it begins at {}", header.address.text()));
    version_ = *version;
    page_bytes_ = header.page_bytes;
    segment_start_ = start;
    segment_bytes_ = content.size();
    switched_ = false;
    while (!done_ && !switched_ && at_.bytes() < start + content.size()) {
        const auto offset = at_.bytes() - start, page = offset - offset % page_bytes_;
        const auto bytes = content.subspan(page, page_bytes_);
        const auto begin = std::max<std::size_t>(enter_page(bytes, file), offset - page);
        at_ = Lsn(start + page + begin);
        read_page(bytes.subspan(begin), file);
    }
}

/// The length of the page's header.
std::size_t WalBlockReader::enter_page(ByteView content, std::string_view file) {
    const auto offset = (at_.bytes() - segment_start_) / page_bytes_ * page_bytes_;
    if (number_at<std::uint64_t>(content, 8) != segment_start_ + offset ||
        server_version_of_magic(number_at<std::uint16_t>(content, 0)) != version_)
        refuse(file, "another page is in the place of the next one");
    const auto header_bytes = offset == 0 ? wal_header_bytes : short_header_bytes;
    if (at_.bytes() % page_bytes_ != 0) return header_bytes; // the first one, in its middle
    const auto info = number_at<std::uint16_t>(content, 2);
    const bool under_way = record_bytes_ != 0;
    if (under_way && (info & overwrites_record) != 0) {
        // The server crashed in the middle of the record, and wrote over its end.
        record_bytes_ = 0;
        record_.clear();
    } else if (under_way != ((info & continues_record) != 0)) {
        refuse(file, under_way ? "the record under way is cut" : "the end of a record comes whose begin is not there");
    } else if (under_way && number_at<std::uint32_t>(content, 16) != record_bytes_ - record_.size()) {
        refuse(file, "the record under way has another length");
    }
    return header_bytes;
}

void WalBlockReader::read_page(ByteView rest, std::string_view file) {
    while (!rest.empty() && !done_ && !switched_) {
        if (record_bytes_ == 0) {
            const auto padding = std::min<std::size_t>((8 - at_.bytes() % 8) % 8, rest.size());
            rest = rest.subspan(padding);
            at_ = Lsn(at_.bytes() + padding);
            if (rest.empty()) return;
            if (at_ > to_) refuse(file, fmt::format("no record begins at {}", to_.text()));
            done_ = at_ == to_;
            if (done_) return;
            begin_record(rest, file);
            if (record_bytes_ <= rest.size()) { // the everyday case
                const auto whole = rest.first(record_bytes_);
                rest = rest.subspan(whole.size());
                at_ = Lsn(at_.bytes() + whole.size());
                end_record(whole, file);
                continue;
            }
        }
        const auto count = std::min(rest.size(), record_bytes_ - record_.size());
        record_ += text_of(rest.first(count));
        rest = rest.subspan(count);
        at_ = Lsn(at_.bytes() + count);
        if (record_.size() == record_bytes_) end_record(bytes_of(record_), file);
    }
}

void WalBlockReader::begin_record(ByteView rest, std::string_view file) {
    const auto length = number_at<std::uint32_t>(rest, 0);
    if (length < record_header_bytes || length > record_bytes_max) refuse(file, fmt::format("a record of {} bytes", length));
    record_bytes_ = length;
    record_.clear();
    record_at_ = at_;
}

void WalBlockReader::end_record(ByteView record, std::string_view file) {
    const auto sum = crc32c(record.first(checksum_at), crc32c(record.subspan(record_header_bytes)));
    if (sum != number_at<std::uint32_t>(record, checksum_at))
        refuse(file, fmt::format("the record at {} is damaged", record_at_.text()));
    const Lsn previous(number_at<std::uint64_t>(record, previous_at));
    if (before_ != Lsn(0) && previous != before_)
        refuse(file,
               fmt::format("the record at {} follows on {}, and not on {}", record_at_.text(), previous.text(), before_.text()));
    before_ = record_at_;
    read_record_changes(record, version_, changes_);
    const auto manager = std::to_integer<unsigned>(record[manager_at]), kind = std::to_integer<unsigned>(record[info_at]) & 0xF0U;
    record_bytes_ = 0;
    record_.clear();
    if (manager != xlog_manager || kind != segment_switch) return;
    switched_ = true; // nothing more in this segment
    at_ = Lsn(segment_start_ + segment_bytes_);
}

} // namespace walgd::pg
