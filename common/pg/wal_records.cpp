#include "common/pg/wal_records.hpp"

#include "common/base/error.hpp"
#include "common/pg/wal_page.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <fmt/format.h>

namespace walgd::pg {

namespace {

// A page's header: magic:2 info:2 timeline:4 address:8 rest_of_record:4, padded to 24; the first one of a segment has 40 bytes.
constexpr std::size_t short_header_bytes = 24;
constexpr std::uint16_t continues_record = 1, long_header = 2;
// A record's header: length:4 transaction:4 previous:8 info:1 resource_manager:1 padding:2 checksum:4.
constexpr std::size_t record_header_bytes = 24, info_at = 16, manager_at = 17;
constexpr unsigned xlog_manager = 0, shutdown_checkpoint = 0x00, online_checkpoint = 0x10, segment_switch = 0x40;

template <class T> T number_at(ByteView bytes, std::size_t offset) {
    T number;
    std::memcpy(&number, bytes.data() + offset, sizeof number);
    return number;
}

/// Walks over what the pages carry, without their headers.
class Walk {
public:
    Walk(ByteView segment, const WalHeader& header) : segment_(segment), header_(header) {}

    std::size_t offset() const { return offset_; }
    /// Enters the page that begins at offset(). False where it is no page of this segment.
    bool enter_page() {
        if (segment_.size() - offset_ < header_.page_bytes) return false;
        const auto page = segment_.subspan(offset_, header_.page_bytes);
        if (number_at<std::uint16_t>(page, 0) != header_.magic) return false;
        if (number_at<std::uint64_t>(page, 8) != header_.address.bytes() + offset_) return false;
        const auto info = number_at<std::uint16_t>(page, 2);
        continues_ = (info & continues_record) != 0;
        rest_ = number_at<std::uint32_t>(page, 16);
        offset_ += (info & long_header) != 0 ? wal_header_bytes : short_header_bytes;
        return true;
    }
    bool at_page_start() const { return offset_ % header_.page_bytes == 0; }
    bool continues() const { return continues_; }
    std::uint32_t rest() const { return rest_; }

    enum class Taken { all, cut /* the record was given up: the page under way begins with another */, end };
    /// Goes on by `bytes` of one record, copying the first of them to `copy`.
    Taken take(std::size_t bytes, MutableBytes copy) {
        std::size_t done = 0;
        while (done < bytes) {
            if (at_page_start()) {
                if (!enter_page()) return Taken::end;
                if (!continues_) return Taken::cut;
            }
            const auto left = header_.page_bytes - offset_ % header_.page_bytes;
            const auto count = std::min(left, bytes - done);
            if (done < copy.size()) std::memcpy(copy.data() + done, segment_.data() + offset_, std::min(count, copy.size() - done));
            done += count;
            offset_ += count;
        }
        return Taken::all;
    }
    /// Records begin at multiples of eight.
    void align() { offset_ = (offset_ + 7) & ~std::size_t{7}; }
    std::uint32_t next_length() const { return number_at<std::uint32_t>(segment_, offset_); }

private:
    ByteView segment_;
    const WalHeader& header_;
    std::size_t offset_ = 0;
    bool continues_ = false;
    std::uint32_t rest_ = 0;
};

bool is_checkpoint(unsigned manager, unsigned kind) {
    return manager == xlog_manager && (kind == shutdown_checkpoint || kind == online_checkpoint);
}

} // namespace

std::optional<Lsn> last_checkpoint_record(ByteView segment, Lsn before, std::string_view file) {
    const auto header = parse_wal_header(segment.first(std::min(segment.size(), wal_header_bytes)), file);
    if (!std::has_single_bit(header.page_bytes) || header.page_bytes < 1024)
        throw Error(ErrorKind::corrupt, fmt::format("{} says that its pages have {} bytes", file, header.page_bytes),
                    "the file is damaged");
    Walk walk(segment, header);
    std::optional<Lsn> found;
    if (!walk.enter_page()) return found;
    // The rest of a record that began in the segment before.
    if (walk.continues() && walk.take(walk.rest(), {}) == Walk::Taken::end) return found;
    for (;;) {
        walk.align();
        if (walk.at_page_start() && !walk.enter_page()) return found;
        if (segment.size() - walk.offset() < sizeof(std::uint32_t)) return found;
        const Lsn begin(header.address.bytes() + walk.offset());
        const auto length = walk.next_length();
        if (begin >= before || length < record_header_bytes) return found;
        // What the segment's end cuts off stays like this: of no resource manager.
        std::array<std::byte, record_header_bytes> record;
        record.fill(std::byte{0xFF});
        const auto taken = walk.take(length, record);
        if (taken == Walk::Taken::cut) continue;
        const auto manager = std::to_integer<unsigned>(record[manager_at]);
        const auto kind = std::to_integer<unsigned>(record[info_at]) & 0xF0U;
        if (is_checkpoint(manager, kind)) found = begin;
        if (taken == Walk::Taken::end || (manager == xlog_manager && kind == segment_switch)) return found;
    }
}

} // namespace walgd::pg
