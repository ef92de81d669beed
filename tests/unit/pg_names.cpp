#include "common/pg/lsn.hpp"
#include "common/pg/page.hpp"
#include "common/pg/wal_name.hpp"
#include "common/pg/wal_page.hpp"
#include "tests/unit/wal_support.hpp"

namespace walgd::pg {

using test::kind_of;

TEST_CASE("an LSN is read and written as PostgreSQL prints it", "[pg]") {
    CHECK(Lsn::parse("16/B374D848") == Lsn(0x16B374D848));
    CHECK(Lsn::parse("0/0") == Lsn(0));
    CHECK(Lsn::parse("FFFFFFFF/FFFFFFFF") == Lsn(~0ULL));
    CHECK(Lsn(0x16B374D848).text() == "16/B374D848");
    CHECK(Lsn(0x2000028).text() == "0/2000028");
    for (const auto* text : {"", "/", "1", "1/", "/1", "g/1", "123456789/0", "1/2/3", " 1/2", "-1/2"})
        CHECK_FALSE(Lsn::parse(text));
}

TEST_CASE("the names of WAL files are PostgreSQL's and no others", "[pg]") {
    CHECK(wal_file_kind("000000010000000A000000FF") == WalFileKind::segment);
    CHECK(wal_file_kind("000000010000000A000000FF.partial") == WalFileKind::partial);
    CHECK(wal_file_kind("00000002.history") == WalFileKind::history);
    CHECK(wal_file_kind("000000010000000A000000FF.00000028.backup") == WalFileKind::backup_history);
    for (const auto* name : {"", "000000010000000a000000ff", "000000010000000A000000F", "000000010000000A000000FFF",
                             "RECOVERYXLOG", "0000002.history", "000000010000000A000000FF.backup", "../000000010000000A000000FF",
                             "000000010000000A000000FF.partial.gz"})
        CHECK_FALSE(wal_file_kind(name));
}

TEST_CASE("a timeline's history file is named by its number", "[pg]") {
    CHECK(history_name(TimelineId(0x1A)) == "0000001A.history");
    CHECK(wal_file_kind(history_name(TimelineId(0xFFFFFFFF))) == WalFileKind::history);
}

TEST_CASE("segments count over the boundary of the low part, for every segment size", "[pg]") {
    const auto segment = parse_segment("0000000100000002000000FF", 16 << 20);
    REQUIRE(segment);
    CHECK(segment->number == 0x2FF);
    CHECK(segment_name({TimelineId(1), 0x300}, 16 << 20) == "000000010000000300000000");
    CHECK(segment_start(*segment, 16 << 20) == Lsn(0x2FF000000));
    CHECK(segment_number(Lsn(0x2FF000000 - 1), 16 << 20) == 0x2FE);
    CHECK_FALSE(parse_segment("000000010000000200000100", 16 << 20)); // 256 segments of 16 MiB in 4 GiB
    CHECK(parse_segment("000000010000000200000100", 1 << 20));
    CHECK_FALSE(parse_segment("000000010000000200000004", 1 << 30));
    for (std::uint64_t bytes = 1 << 20; bytes <= 1 << 30; bytes *= 2) {
        CHECK(valid_segment_bytes(bytes));
        for (const std::uint64_t number : {0ULL, 1ULL, 4095ULL, 123456ULL}) {
            const Segment one{TimelineId(7), number};
            CHECK(parse_segment(segment_name(one, bytes), bytes) == one);
        }
    }
    CHECK_FALSE(valid_segment_bytes(512 << 10));
    CHECK_FALSE(valid_segment_bytes(24 << 20));
    CHECK_FALSE(valid_segment_bytes(2ULL << 30));
}

TEST_CASE("a segment's header must fit its name and size", "[pg]") {
    test::WalHeaderText made;
    const std::string name = "000000020000000000000003";
    made.address = 3 << 20;
    made.timeline = 2;
    const auto header = parse_wal_header(bytes_of(made.bytes()), name);
    CHECK(header.system == SystemIdentifier(made.system));
    CHECK(header.segment_bytes == 1 << 20);
    CHECK_NOTHROW(check_wal_header(header, name, 1 << 20));
    CHECK_NOTHROW(check_wal_header(header, "000000030000000000000003", 1 << 20)); // taken over by a promoted server
    CHECK_THROWS_AS(check_wal_header(header, "000000010000000000000003", 1 << 20), Error);
    CHECK_THROWS_AS(check_wal_header(header, "000000020000000000000004", 1 << 20), Error);
    CHECK_THROWS_AS(check_wal_header(header, name, (1 << 20) - 1), Error);
    CHECK_THROWS_AS(check_wal_header(header, name, 16 << 20), Error);
}

TEST_CASE("what is not a segment's first page is told so, at any length", "[pg]") {
    const auto good = test::WalHeaderText().bytes();
    for (std::size_t count = 0; count < wal_header_bytes; ++count)
        CHECK(kind_of([&] { parse_wal_header(bytes_of(good).first(count), "x"); }) == ErrorKind::corrupt);
    CHECK(kind_of([&] { parse_wal_header(bytes_of(std::string(8192, '\0')), "x"); }) == ErrorKind::corrupt);
    test::WalHeaderText wrong;
    wrong.magic = 0x1234;
    CHECK(kind_of([&] { parse_wal_header(bytes_of(wrong.bytes()), "x"); }) == ErrorKind::corrupt);
    test::WalHeaderText short_header;
    short_header.info = 0;
    CHECK(kind_of([&] { parse_wal_header(bytes_of(short_header.bytes()), "x"); }) == ErrorKind::corrupt);
}

TEST_CASE("a page's checksum covers every byte but its own, and its place", "[pg]") {
    std::string page(8192, '\0');
    page[12] = 24;   // pd_lower
    page[15] = 0x20; // pd_upper 8192
    page[17] = 0x20; // pd_special 8192
    page[18] = 4;    // layout version
    page[19] = 0x20; // page size 8192
    page[5000] = 'x';
    const auto sum = page_checksum(bytes_of(page), 7);
    page[8] = static_cast<char>(sum & 0xFF);
    page[9] = static_cast<char>(sum >> 8);
    CHECK(page_checksum(bytes_of(page), 7) == sum);
    CHECK(check_page(bytes_of(page), 7) == PageState::valid);
    CHECK(check_page(bytes_of(page), 8) == PageState::bad_checksum);
    for (const std::size_t at : {0UL, 100UL, 5000UL, 8191UL}) {
        auto changed = page;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        CHECK(check_page(bytes_of(changed), 7) != PageState::valid);
    }
    CHECK(check_page(bytes_of(std::string(8192, '\0')), 7) == PageState::fresh);
}

} // namespace walgd::pg
