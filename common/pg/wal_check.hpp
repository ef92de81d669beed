#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/crc32c.hpp"
#include "common/pg/wal_page.hpp"

#include <array>
#include <optional>
#include <string>

namespace walgd::pg {

/// Reads WAL as recovery does: every page header, every record's CRC and its link to the record before, across segments that
/// follow each other (XLogPageHeaderData in src/include/access/xlog_internal.h, XLogRecord in access/xlogrecord.h). What is wrong
/// is an Error(corrupt) that names the segment and the LSN. After one begin() anew.
class WalCheck {
public:
    /// The segment called `name` comes next; `object` names it in messages. One that follows the segment before on the same
    /// timeline goes on where that one ended, any other begins anew: the end of a record whose begin was not seen is not checked.
    void begin(std::string name, std::string object);
    /// Its bytes, in any cut.
    void write(ByteView bytes);
    /// All of them came. Error(corrupt) when they are not the size that the header says.
    void finish();
    std::uint64_t records() const { return records_; }

private:
    static constexpr std::size_t record_header_bytes = 24;

    [[noreturn]] void refuse(std::size_t offset, const std::string& cause) const;
    Lsn lsn_at(std::size_t offset) const { return Lsn(header_.address.bytes() + page_begin_ + offset); }
    void check_page();
    std::size_t check_page_header(ByteView page);
    void check_continuation(ByteView page, bool continues, bool overwritten);
    void start_record(ByteView page, std::size_t offset);
    void feed(ByteView bytes);
    void finish_record();
    void forget_record();

    std::string name_, object_;
    std::optional<Segment> segment_;
    WalHeader header_;
    std::size_t page_begin_ = 0; ///< in the segment
    Blob page_{8192};
    // The record under way.
    std::uint64_t left_ = 0;
    bool whole_ = false; ///< its begin was seen
    std::array<std::byte, record_header_bytes> record_{};
    std::size_t record_bytes_ = 0; ///< of its header that are there
    std::uint32_t crc_ = 0;
    Lsn start_{0};
    std::optional<Lsn> previous_; ///< begin of the record before
    bool switched_ = false;       ///< nobody reads the rest of the segment
    std::uint64_t records_ = 0;
};

} // namespace walgd::pg
