#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/lsn.hpp"

#include <cstdint>
#include <vector>

namespace walgd::pg {

/// Resource managers and their record kinds (src/include/access/rmgrlist.h, catalog/pg_control.h, access/xact.h,
/// commands/tablespace.h), as far as a restore asks for them; the same in PostgreSQL 13 to 18. A kind is the upper half of
/// xl_info, for transactions without its highest bit.
namespace manager {
inline constexpr unsigned xlog = 0, xact = 1, tablespace = 5;
}
namespace xlog_kind {
inline constexpr unsigned shutdown_checkpoint = 0x00, online_checkpoint = 0x10, segment_switch = 0x40, backup_end = 0x50,
                          parameter_change = 0x60, restore_point = 0x70, end_of_recovery = 0x90;
}
namespace tablespace_kind {
inline constexpr unsigned create = 0x00;
}
namespace xact_kind {
inline constexpr unsigned commit = 0x00, prepare = 0x10, abort = 0x20, commit_prepared = 0x30, abort_prepared = 0x40, mask = 0x70;
}

/// One record: where it begins and what its header says. XLogRecord in src/include/access/xlogrecord.h.
struct RecordHeader {
    static constexpr std::size_t bytes = 24;
    Lsn begin{0};
    std::uint32_t length = 0, xid = 0;
    unsigned info = 0, manager = 0;
    std::uint32_t checksum = 0;

    /// Of the record's first 24 bytes.
    static RecordHeader parse(ByteView first, Lsn begin);
};

/// Which records are handed over.
enum class Wanted {
    noted, ///< what parse_moment() and parse_requirement() know, and segment switches
    all,
};

class RecordSink {
public:
    virtual ~RecordSink() = default;
    /// A whole wanted record, in the order of the WAL. `end` is where the next one begins, page headers apart.
    virtual void record(const RecordHeader& header, Lsn end, ByteView bytes) = 0;
};

/// Follows the records through pages of WAL that come in order, beginning at any page. Holds one record at most, and of one that
/// nobody wants nothing.
class RecordScan {
public:
    /// So much of a record is kept: those of a transaction that dropped or created very much are longer, and are handed over cut.
    static constexpr std::size_t record_bytes_max = 1 << 20;
    /// And so much of one that began before the first page.
    static constexpr std::size_t head_bytes_max = 64 << 10;

    struct Start {
        Lsn at{0}; ///< of the first page
        std::uint16_t magic = 0;
        std::uint32_t page_bytes = 8192;
        Wanted wanted = Wanted::noted;
    };
    RecordScan(Start start, RecordSink& sink) : start_(start), sink_(sink), at_(start.at) {}

    /// The next page. After the end of the WAL it is not looked at.
    void page(ByteView page);

    /// Where the WAL ends: zeros, another page's header, a record that is none, or a segment switch. What follows is not part of
    /// it.
    bool ended() const { return ended_; }
    /// Behind the last whole record; the first page's begin before there was one.
    Lsn whole_until() const { return whole_until_; }
    /// A record goes on in the next page.
    bool within_record() const { return left_ > 0; }
    std::uint32_t left() const { return left_; }
    /// What is known of the record under way, if it is or may be a wanted one; nothing of all others.
    ByteView open_record() const { return keep_ && !in_head_ ? ByteView(record_) : ByteView(); }
    Lsn open_begin() const { return begin_; }
    /// What the pages bring of a record that began before the first one, as far as it is kept.
    ByteView head() const { return head_; }
    /// Where the next one begins.
    Lsn head_end() const { return head_end_; }
    /// Nothing but that record came yet.
    bool in_head() const { return in_head_; }
    /// Of that record, all that is to come, as the first page says.
    std::uint32_t head_bytes() const { return head_bytes_; }

private:
    void enter(ByteView page);
    void begin_record(ByteView page);
    void consume(ByteView page);
    void complete();
    bool wants(unsigned manager, unsigned info) const;
    Lsn place() const { return Lsn(at_.bytes() + offset_); }

    const Start start_;
    RecordSink& sink_;
    Lsn at_;                 ///< of the page under way
    std::size_t offset_ = 0; ///< in it
    bool first_page_ = true, ended_ = false;
    Lsn whole_until_{0}, head_end_{0};
    // The record under way.
    Lsn begin_{0};
    std::uint32_t left_ = 0;
    bool in_head_ = false, keep_ = false, header_known_ = false;
    std::vector<std::byte> record_, head_;
    std::uint32_t head_bytes_ = 0;
};

/// True if the record's checksum is what its header says. For whole records.
bool record_checksum_right(ByteView record);

} // namespace walgd::pg
