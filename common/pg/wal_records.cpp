#include "common/pg/wal_records.hpp"

#include "common/base/error.hpp"
#include "common/pg/record_scan.hpp"
#include "common/pg/wal_layout.hpp"
#include "common/pg/wal_page.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

namespace walgd::pg {

namespace {

class LastCheckpoint : public RecordSink {
public:
    explicit LastCheckpoint(Lsn before) : before_(before) {}
    void record(const RecordHeader& header, Lsn, ByteView) override { look_at(header); }
    void look_at(const RecordHeader& header) {
        const auto kind = header.info & 0xF0U;
        const bool checkpoint =
            header.manager == manager::xlog && (kind == xlog_kind::shutdown_checkpoint || kind == xlog_kind::online_checkpoint);
        if (checkpoint && header.begin < before_) found = header.begin;
    }
    std::optional<Lsn> found;

private:
    Lsn before_;
};

class Nobody : public RecordSink {
public:
    void record(const RecordHeader&, Lsn, ByteView) override {}
};

RecordScan scanned(ByteView segment, std::string_view file, RecordSink& sink) {
    const auto header = parse_wal_header(segment.first(std::min(segment.size(), wal_header_bytes)), file);
    check_page_bytes(header, file);
    RecordScan scan({header.address, header.magic, header.page_bytes}, sink);
    for (; segment.size() >= header.page_bytes && !scan.ended(); segment = segment.subspan(header.page_bytes))
        scan.page(segment.first(header.page_bytes));
    return scan;
}

} // namespace

void check_page_bytes(const WalHeader& header, std::string_view file) {
    if (!std::has_single_bit(header.page_bytes) || header.page_bytes < 1024 || header.page_bytes > 65536)
        throw Error(ErrorKind::corrupt, fmt::format("{} says that its pages have {} bytes", file, header.page_bytes),
                    "the file is damaged");
}

bool begins_within_record(ByteView segment) {
    return segment.size() > 2 &&
           (std::to_integer<unsigned>(segment[2]) & (wal_layout::continues_record | wal_layout::overwrites_record)) != 0;
}

std::optional<Lsn> cut_record(ByteView segment, std::string_view file) {
    Nobody nobody;
    const auto scan = scanned(segment, file, nobody);
    if (scan.ended() || !scan.within_record() || scan.in_head()) return std::nullopt;
    return scan.open_begin();
}

std::optional<Lsn> last_checkpoint_record(ByteView segment, Lsn before, std::string_view file) {
    LastCheckpoint checkpoint(before);
    const auto scan = scanned(segment, file, checkpoint);
    // The segment's end may cut it off.
    const auto open = scan.open_record();
    if (open.size() >= RecordHeader::bytes) checkpoint.look_at(RecordHeader::parse(open, scan.open_begin()));
    return checkpoint.found;
}

} // namespace walgd::pg
