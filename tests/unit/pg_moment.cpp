#include "common/archive/wal/commit_index.hpp"
#include "common/archive/wal/run_note.hpp"
#include "common/pg/crc32c.hpp"
#include "common/pg/moment.hpp"
#include "common/pg/requirement.hpp"
#include "tests/unit/record_support.hpp"

namespace walgd::pg {

namespace {

using test::WrittenWal;

struct Seen : RecordSink {
    void record(const RecordHeader& header, Lsn end, ByteView bytes) override {
        const auto moment = parse_moment(header, bytes, 15);
        if (moment) moments.push_back({header.begin, end, *moment});
    }
    struct One {
        Lsn begin, end;
        Moment moment;
    };
    std::vector<One> moments;
};

Seen scanned(const std::string& pages, Lsn at) {
    Seen seen;
    RecordScan scan({at, 0xD110, WrittenWal::page_bytes}, seen);
    for (std::size_t offset = 0; offset < pages.size(); offset += WrittenWal::page_bytes)
        scan.page(bytes_of(pages).subspan(offset, WrittenWal::page_bytes));
    return seen;
}

} // namespace

TEST_CASE("a commit, an abort, a prepared one and a restore point tell their time and transaction", "[pg]") {
    WrittenWal wal;
    const Time time(std::chrono::microseconds(1'700'000'000'123'456));
    wal.transaction_end({.kind = xact_kind::commit, .xid = 700, .time = time});
    wal.transaction_end({.kind = xact_kind::abort, .xid = 701, .time = time, .subtransactions = {702, 703}});
    wal.transaction_end({.kind = xact_kind::commit_prepared, .xid = 0, .time = time, .subtransactions = {705}, .prepared = 704});
    wal.restore_point("before the upgrade", time);
    wal.record(400, 10, 0);
    const auto seen = scanned(wal.pages(), WrittenWal::start).moments;
    REQUIRE(seen.size() == 4);
    const auto& commit = std::get<TransactionEnd>(seen[0].moment);
    CHECK((commit.commit && commit.xid == 700 && commit.time == time));
    const auto& abort = std::get<TransactionEnd>(seen[1].moment);
    CHECK((!abort.commit && abort.xid == 701 && abort.subtransactions == std::vector<std::uint32_t>{702, 703}));
    const auto& prepared = std::get<TransactionEnd>(seen[2].moment);
    CHECK((prepared.commit && prepared.xid == 704 && prepared.subtransactions == std::vector<std::uint32_t>{705}));
    const auto& point = std::get<RestorePoint>(seen[3].moment);
    CHECK((point.name == "before the upgrade" && point.time == time));
    CHECK(seen[0].end == seen[1].begin);
}

TEST_CASE("a tablespace's creation tells its place, and a change of settings each of them", "[pg]") {
    struct Requirements : RecordSink {
        void record(const RecordHeader& header, Lsn, ByteView bytes) override {
            const auto requirement = parse_requirement(header, bytes);
            if (requirement) all.push_back(*requirement);
            for (std::size_t size = 0; requirement && size + 2 < bytes.size(); ++size) // but for the two flags behind wal_level
                CHECK_FALSE(parse_requirement(header, bytes.first(size)));
        }
        std::vector<Requirement> all;
    } seen;
    WrittenWal wal;
    wal.tablespace(16450, "/srv/fast disk");
    wal.settings(200, 1);
    wal.record(manager::tablespace, 0x10, 7, "a drop"); // XLOG_TBLSPC_DROP
    wal.tablespace(16451, "");
    RecordScan scan({WrittenWal::start, 0xD110, WrittenWal::page_bytes}, seen);
    const auto pages = wal.pages();
    scan.page(bytes_of(pages).first(WrittenWal::page_bytes));
    const StandbySettings settings{{200, 8, 10, 0, 64}, 1};
    CHECK(seen.all ==
          std::vector<Requirement>{TablespaceCreated{16450, "/srv/fast disk"}, settings, TablespaceCreated{16451, ""}});
}

TEST_CASE("a record is read wherever a page cuts it", "[pg]") {
    for (std::uint32_t filler = 7900; filler < 8170; filler += 8) {
        WrittenWal wal;
        wal.record(filler, 10, 0);
        const auto begin =
            wal.transaction_end({.kind = xact_kind::commit, .xid = 900, .time = Time(), .subtransactions = {901, 902}});
        wal.record(100, 10, 0);
        const auto seen = scanned(wal.pages(), WrittenWal::start).moments;
        REQUIRE(seen.size() == 1);
        CHECK(seen[0].begin == begin);
        CHECK(std::get<TransactionEnd>(seen[0].moment).subtransactions.size() == 2);
    }
}

TEST_CASE("a checksum is of the whole record", "[pg]") {
    WrittenWal wal;
    wal.transaction_end({.kind = xact_kind::commit, .xid = 1, .time = Time()});
    struct Check : RecordSink {
        void record(const RecordHeader&, Lsn, ByteView bytes) override {
            std::string copy(text_of(bytes));
            const auto ordered = copy.substr(24) + copy.substr(0, 20);
            const auto sum = crc32c(bytes_of(ordered));
            std::memcpy(copy.data() + 20, &sum, sizeof sum);
            right = record_checksum_right(bytes_of(copy));
            copy[30] ^= 1;
            wrong = record_checksum_right(bytes_of(copy));
        }
        bool right = false, wrong = true;
    } check;
    RecordScan scan({WrittenWal::start, 0xD110, WrittenWal::page_bytes}, check);
    const auto pages = wal.pages();
    scan.page(bytes_of(pages).first(WrittenWal::page_bytes));
    CHECK(check.right);
    CHECK_FALSE(check.wrong);
}

} // namespace walgd::pg

namespace walgd::archive {

TEST_CASE("a run's note is the same wherever it was cut and joined", "[archive]") {
    using test::WrittenWal;
    WrittenWal wal;
    for (std::uint32_t index = 0; index < 1500; ++index) {
        wal.record(24 + index % 900, 10, 0);
        wal.transaction_end({.kind = index % 7 == 0 ? pg::xact_kind::abort : pg::xact_kind::commit,
                             .xid = 1000 + index,
                             .time = Time(std::chrono::seconds(index)),
                             .subtransactions = std::vector<std::uint32_t>(index % 400 == 5 ? 6000 : 0, 7U)});
        if (index % 100 == 50) wal.restore_point("point " + std::to_string(index), Time());
    }
    const auto pages = wal.pages();
    const auto whole = RunNote::of(bytes_of(pages), WrittenWal::start, WrittenWal::page_bytes);
    CHECK(whole.note.commits + whole.note.aborts == 1500);
    CHECK(whole.note.restore_points.size() == 15);
    CHECK(whole.note.ended);
    for (const std::size_t piece : {1U, 2U, 3U, 7U, 16U}) {
        std::optional<RunNote> joined;
        for (std::size_t offset = 0; offset < pages.size(); offset += piece * WrittenWal::page_bytes) {
            const auto part = bytes_of(pages).subspan(offset, std::min(piece * WrittenWal::page_bytes, pages.size() - offset));
            const auto run = RunNote::of(part, pg::Lsn(WrittenWal::start.bytes() + offset), WrittenWal::page_bytes);
            if (joined)
                joined->join(run);
            else
                joined = run;
        }
        auto note = joined->note;
        CHECK(note.last_commit == whole.note.last_commit);
        CHECK(note.first_commit == whole.note.first_commit);
        CHECK(note.until == whole.note.until);
        note.samples.clear();
        CHECK(note == whole.note);
    }
}

TEST_CASE("notes survive their document, and what is none is told so", "[archive]") {
    NoteBlock block;
    block.system = pg::SystemIdentifier(7364522330287841025);
    block.timeline = pg::TimelineId(2);
    WalNote note;
    note.until = pg::Lsn(0x3000000);
    note.add(pg::TransactionEnd{true, 4000000000U, Time(std::chrono::microseconds(1'700'000'000'123'456)), {}}, pg::Lsn(5),
             pg::Lsn(6));
    note.add(pg::TransactionEnd{false, 10, Time(), {}}, pg::Lsn(6), pg::Lsn(7));
    note.add(pg::RestorePoint{"a \"name\"", Time()}, pg::Lsn(7), pg::Lsn(8));
    for (std::uint32_t oid = 16450; oid < 16650; ++oid)
        note.add(pg::TablespaceCreated{oid, "/srv/a \"disk\" caf\xE9\n"}, pg::Lsn(9));
    note.add(pg::StandbySettings{{200, 8, 10, 0, 64}, 2}, pg::Lsn(10));
    note.stored_bytes = 4711;
    note.add(pg::Checkpoint{true, pg::Lsn(1), pg::TimelineId(1), pg::TimelineId(1), 5, Time()}, pg::Lsn(8), pg::Lsn(9));
    put_note(block, 3, note);
    put_note(block, 2, WalNote());
    const auto again = parse_note_block(to_json(block), "x");
    CHECK(again.notes == block.notes);
    CHECK(again.system == block.system);
    CHECK(again.timeline == block.timeline);
    auto no_hex = to_json(block);
    const auto place = no_hex.find("2f737276"); // "/srv"
    no_hex.replace(place, 2, "zz");
    CHECK(test::kind_of([&] { parse_note_block(no_hex, "x"); }) == ErrorKind::corrupt);
    // On the circle of transaction ids 10 comes after 4,000,000,000.
    CHECK(note.xid_min == 4000000000U);
    CHECK(note.may_have_xid(5));
    CHECK_FALSE(note.may_have_xid(3999999999U));
    for (const auto* text :
         {"", "{}", "[]", "{\"segments\":[{}]}", "{\"system_identifier\":1,\"timeline\":1,\"segment_bytes\":5,\"segments\":[]}"})
        CHECK(test::kind_of([&] { parse_note_block(text, "x"); }) == ErrorKind::corrupt);
}

TEST_CASE("notes of a version that told of no requirements are not complete", "[archive]") {
    NoteBlock block;
    put_note(block, 3, WalNote());
    auto text = to_json(block);
    CHECK(parse_note_block(text, "x").notes[0].second.complete);
    const std::string version = "\"version\":2";
    text.replace(text.find(version), version.size(), "\"other\":2");
    CHECK_FALSE(parse_note_block(text, "x").notes[0].second.complete);
}

TEST_CASE("a name that JSON cannot hold, and more than are kept, make a note incomplete", "[archive]") {
    WalNote note;
    note.add(pg::RestorePoint{"caf\xE9", Time()}, pg::Lsn(7), pg::Lsn(8));
    CHECK_FALSE(note.complete);
    WalNote many;
    for (std::size_t index = 0; index <= WalNote::points_max; ++index)
        many.add(pg::RestorePoint{"x", Time()}, pg::Lsn(1), pg::Lsn(2));
    CHECK_FALSE(many.complete);
    NoteBlock block;
    WalNote complete;
    put_note(block, 1, complete);
    put_note(block, 1, many);
    CHECK(block.notes[0].second.complete);
}

} // namespace walgd::archive
