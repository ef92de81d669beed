#include "common/base/error.hpp"
#include "common/pg/wal_blocks.hpp"
#include "tests/unit/wal_text.hpp"

#include <catch2/catch.hpp>

namespace walgd::pg {

namespace {

using namespace test;

const RelationId written_table{1663, 5, 16384}, other{1663, 5, 16400};
constexpr unsigned xlog = 0, xact = 1, smgr = 2, dbase = 4, heap = 10;

void follow(const WalText& wal, Lsn from, Lsn to, BlockChanges& changes) {
    WalBlockReader reader(from, to, changes);
    while (!reader.done()) {
        const auto index = reader.at().bytes() / WalText::segment - 1;
        if (index >= wal.parts()) throw Error(ErrorKind::corrupt, "no more segments");
        reader.segment(bytes_of(wal.part(index)), "the test's WAL");
    }
}

std::vector<std::uint32_t> blocks(const BlockChanges& changes, const RelationId& id) {
    const auto* fork = changes.find(id);
    return fork == nullptr ? std::vector<std::uint32_t>() : fork->blocks.between(0, 1ULL << 32);
}

BlockChanges changes_of(const std::string& text, int version = 15) {
    BlockChanges changes;
    read_record_changes(bytes_of(text), version, changes);
    return changes;
}

} // namespace

TEST_CASE("a record gives the blocks of main forks that it refers to, whatever else it carries", "[pg]") {
    const auto hole = number(std::uint16_t{100}) + '\x05' + number(std::uint16_t{40}); // PostgreSQL 15: hole, pglz
    const auto text = record(heap, 0,
                             reference(written_table, 7, 0, 20) + reference(written_table, 8, 2) +
                                 reference(other, 9, 0, 0, 300, hole) + '\xFD' + "or" + '\xFC' + "xids",
                             "main", 320);
    const auto changes = changes_of(text);
    CHECK((blocks(changes, written_table) == std::vector<std::uint32_t>{7}));
    CHECK((blocks(changes, other) == std::vector<std::uint32_t>{9}));
    CHECK_THROWS_AS(changes_of(text, 13), Error);             // has no part 252
    const auto applied = number(std::uint16_t{100}) + '\x03'; // PostgreSQL 15: hole, applied; 13: hole, compressed
    const auto image = record(heap, 0, reference(written_table, 1, 0, 0, 300, applied), {}, 300);
    CHECK((blocks(changes_of(image, 15), written_table) == std::vector<std::uint32_t>{1}));
    for (std::size_t cut = 1; cut < 6; ++cut) CHECK_THROWS_AS(changes_of(text.substr(0, text.size() - cut)), Error);
}

TEST_CASE("records that speak of files: made, truncated, dropped; folders of databases", "[pg]") {
    const auto made = changes_of(record(smgr, 0x10, {}, named(written_table) + number(std::int32_t{0})));
    CHECK(made.find(written_table)->limit == 0U);
    CHECK(changes_of(record(smgr, 0x10, {}, named(written_table) + number(std::int32_t{3}))).find(written_table) == nullptr);
    const auto cut =
        changes_of(record(smgr, 0x20, {}, number(std::uint32_t{12}) + named(written_table) + number(std::uint32_t{7})));
    CHECK(cut.find(written_table)->limit == 12U);
    const auto commit = number(std::int64_t{1}) + number(std::uint32_t{7}) + std::string(8, 'd') + number(std::uint32_t{2}) +
                        std::string(8, 's') + number(std::uint32_t{2}) + named(written_table) + named(other);
    for (const auto kind : {0x80U, 0xA0U, 0xB0U, 0xC0U}) {
        const auto dropped = changes_of(record(xact, kind, {}, commit));
        CHECK(dropped.find(written_table)->limit == 0U);
        CHECK(dropped.find(other)->limit == 0U);
    }
    const auto folder =
        number(std::uint32_t{5}) + number(std::uint32_t{1663}) + number(std::uint32_t{1}) + number(std::uint32_t{1663});
    CHECK(changes_of(record(dbase, 0x00, {}, folder), 13).replaced(1663, 5));
    CHECK(changes_of(record(dbase, 0x10, {}, folder), 15).replaced(1663, 5));
    const auto dropped =
        number(std::uint32_t{5}) + number(std::uint32_t{2}) + number(std::uint32_t{1663}) + number(std::uint32_t{16390});
    for (const auto& [version, kind] : {std::pair(14, 0x10U), std::pair(17, 0x20U)}) {
        CHECK(changes_of(record(dbase, kind, {}, dropped), version).replaced(1663, 5));
        CHECK(changes_of(record(dbase, kind, {}, dropped), version).replaced(16390, 5));
    }
    const auto level = [](std::int32_t value) {
        return record(xlog, 0x60, {}, std::string(20, 'p') + number(value) + std::string(2, '\0'));
    };
    CHECK_THROWS_AS(changes_of(level(0)), Error);
    CHECK_NOTHROW(changes_of(level(1)));
}

TEST_CASE("the WAL is followed over pages, segments and switches, from one record to another", "[pg]") {
    WalText wal;
    wal.add(record(heap, 0, reference(other, 1), {}));
    const auto from = wal.add(record(heap, 0, reference(written_table, 0), {}));
    for (std::uint32_t block = 1; block < 3000; ++block)
        wal.add(record(heap, 0, reference(written_table, block), std::string(block % 700, 'x')));
    wal.add(record(heap, 0, reference(written_table, 3000), std::string(50000, 'l')));
    wal.switch_segment();
    wal.add(record(heap, 0, reference(written_table, 3001), {}));
    const auto to = wal.end();
    wal.add(record(heap, 0, reference(other, 2), {}));
    BlockChanges changes;
    follow(wal, from, to, changes);
    CHECK(changes.find(written_table)->blocks.size() == 3002);
    CHECK(changes.find(other) == nullptr);
    CHECK(wal.parts() > 1);
    BlockChanges none;
    CHECK_THROWS_WITH(follow(wal, from, Lsn(to.bytes() - 8), none), Catch::Contains("no record begins"));
    CHECK_THROWS_AS(follow(wal, Lsn(from.bytes() + 8), to, none), Error);
}

TEST_CASE("any damage between the two ends is found", "[pg]") {
    WalText wal;
    const auto from = wal.add(record(heap, 0, reference(written_table, 0), {}));
    for (std::uint32_t block = 1; block < 60; ++block)
        wal.add(record(heap, 0, reference(written_table, block), std::string(303, 'x'))); // no padding behind
    const auto to = wal.end();
    const auto intact = wal.bytes();
    for (auto place = from.bytes() - WalText::segment; place < to.bytes() - WalText::segment; place += 37) {
        const auto at = place % WalText::page;
        if (place % WalText::page < 24 && at >= 2 && at != 16) continue; // what a page's header says of the timeline
        wal.bytes() = intact;
        wal.bytes()[place] = static_cast<char>(wal.bytes()[place] ^ 0x10);
        BlockChanges changes;
        INFO(place);
        CHECK_THROWS_AS(follow(wal, from, to, changes), Error);
    }
    wal.bytes() = intact.substr(0, intact.size() / 2);
    BlockChanges changes;
    CHECK_THROWS_AS(follow(wal, from, to, changes), Error);
}

} // namespace walgd::pg
