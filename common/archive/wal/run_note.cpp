#include "common/archive/wal/run_note.hpp"

#include "common/pg/wal_page.hpp"

#include <algorithm>
#include <cstring>

namespace walgd::archive {

namespace {

/// Adds a whole record, as far as it is kept.
void add_record(WalNote& note, const pg::RecordHeader& header, pg::Lsn end, ByteView record, std::uint16_t magic) {
    const auto version = pg::read_as_version(magic);
    const auto moment = pg::parse_moment(header, record, version);
    if (moment)
        note.add(*moment, header.begin, end);
    else if (const auto requirement = pg::parse_requirement(header, record))
        note.add(*requirement, header.begin);
    else if (pg::ends_transaction(header))
        note.complete = false;
}

RunNote::Piece piece_of(ByteView kept, std::size_t came) { return {{kept.begin(), kept.end()}, kept.size() < came}; }

void append(RunNote::Piece& piece, const RunNote::Piece& more) {
    const auto room = pg::RecordScan::record_bytes_max - std::min(pg::RecordScan::record_bytes_max, piece.bytes.size());
    const auto count = piece.cut ? 0 : std::min(room, more.bytes.size());
    piece.bytes.insert(piece.bytes.end(), more.bytes.begin(), more.bytes.begin() + static_cast<std::ptrdiff_t>(count));
    piece.cut = piece.cut || more.cut || count < more.bytes.size();
}

class Notes : public pg::RecordSink {
public:
    Notes(WalNote& note, std::uint16_t magic) : note_(note), magic_(magic) {}
    void record(const pg::RecordHeader& header, pg::Lsn end, ByteView bytes) override {
        add_record(note_, header, end, bytes, magic_);
    }

private:
    WalNote& note_;
    std::uint16_t magic_;
};

} // namespace

RunNote RunNote::of(ByteView pages, pg::Lsn at, std::uint32_t page_bytes) {
    RunNote run;
    run.at = at;
    run.bytes = pages.size();
    if (pages.size() >= sizeof run.magic) std::memcpy(&run.magic, pages.data(), sizeof run.magic);
    Notes notes(run.note, run.magic);
    pg::RecordScan scan({at, run.magic, page_bytes}, notes);
    for (; pages.size() >= page_bytes && !scan.ended(); pages = pages.subspan(page_bytes)) scan.page(pages.first(page_bytes));
    run.note.until = scan.whole_until();
    run.note.ended = scan.ended();
    run.all_head = scan.in_head();
    run.open_left = scan.left();
    run.head_bytes = scan.head_bytes();
    run.head_end = scan.head_end();
    run.head = piece_of(scan.head(), run.all_head ? run.head_bytes - run.open_left : run.head_bytes);
    if (run.all_head || !scan.within_record()) return run;
    run.open_begin = scan.open_begin();
    run.open = {{scan.open_record().begin(), scan.open_record().end()}, false};
    return run;
}

void RunNote::join(const RunNote& next) {
    bytes += next.bytes;
    if (note.ended) return; // what follows is not part of the WAL
    if (next.head_bytes > 0 && next.head_bytes != open_left) {
        note.ended = true;
        open_left = 0;
        return;
    }
    if (next.head_bytes > 0) {
        if (all_head || !open.bytes.empty()) append(all_head ? head : open, next.head);
        open_left = next.open_left;
        if (next.all_head) return;
        if (all_head)
            head_end = next.head_end;
        else
            note_open(next.head_end);
    }
    all_head = false;
    note.append(next.note);
    open = next.open;
    open_begin = next.open_begin;
    open_left = next.open_left;
}

void RunNote::note_open(pg::Lsn record_end) {
    if (open.bytes.size() < pg::RecordHeader::bytes) return;
    add_record(note, pg::RecordHeader::parse(open.bytes, open_begin), record_end, open.bytes, magic);
}

RunNote RunNote::head_only() const {
    RunNote result;
    result.at = at;
    result.bytes = bytes;
    result.head = head;
    result.head_bytes = head_bytes;
    result.head_end = head_end;
    result.all_head = all_head;
    if (all_head) result.open_left = open_left;
    result.note.until = head_bytes > 0 ? head_end : at;
    return result;
}

WalNote RunNote::closed() const {
    auto result = note;
    if (open_left > 0 && !open.bytes.empty()) result.complete = false;
    return result;
}

} // namespace walgd::archive
