#include "common/pg/replication.hpp"
#include "common/pg/timeline_history.hpp"
#include "tests/unit/async_support.hpp"

namespace walgd::pg {

using test::kind_of;

namespace {

std::string big_endian(std::uint64_t number) {
    std::string text;
    for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(number >> shift & 0xFF);
    return text;
}

std::string wal_message(std::uint64_t start, const std::string& wal) {
    return "w" + big_endian(start) + big_endian(start + 1000) + big_endian(42) + wal;
}

} // namespace

TEST_CASE("messages of the replication stream are read", "[pg]") {
    const auto text = wal_message(0x16B374D848, "some wal");
    const auto data = std::get<WalData>(parse_replication_message(bytes_of(text)));
    CHECK(data.start == Lsn(0x16B374D848));
    CHECK(data.server_end == Lsn(0x16B374D848 + 1000));
    CHECK(text_of(data.wal) == "some wal");
    for (const bool wanted : {false, true}) {
        const auto keepalive = "k" + big_endian(0x3000000) + big_endian(42) + std::string(1, wanted ? '\1' : '\0');
        const auto parsed = std::get<Keepalive>(parse_replication_message(bytes_of(keepalive)));
        CHECK(parsed.server_end == Lsn(0x3000000));
        CHECK(parsed.reply_wanted == wanted);
    }
}

TEST_CASE("a message cut anywhere, too long or of an unknown type is an error of the protocol", "[pg]") {
    const auto wal = wal_message(0x3000000, "");
    CHECK(std::get<WalData>(parse_replication_message(bytes_of(wal))).wal.empty());
    for (std::size_t length = 0; length < wal.size(); ++length)
        CHECK(kind_of([&] { parse_replication_message(bytes_of(wal).first(length)); }) == ErrorKind::protocol);
    const auto keepalive = "k" + big_endian(1) + big_endian(2) + "\1\1";
    for (std::size_t length = 0; length <= keepalive.size(); ++length) {
        if (length == keepalive.size() - 1) continue;
        CHECK(kind_of([&] { parse_replication_message(bytes_of(keepalive).first(length)); }) == ErrorKind::protocol);
    }
    CHECK(kind_of([&] { parse_replication_message(bytes_of("p" + wal.substr(1))); }) == ErrorKind::protocol);
}

TEST_CASE("a standby's status is written as the protocol lays it out", "[pg]") {
    const auto day_after_epoch = std::chrono::sys_days(std::chrono::year(2000) / 1 / 2);
    const auto message =
        standby_status_message({.written = Lsn(7), .flushed = Lsn(0x16B374D848), .reply_wanted = true}, day_after_epoch);
    CHECK(text_of(message) ==
          "r" + big_endian(7) + big_endian(0x16B374D848) + big_endian(0) + big_endian(86'400'000'000) + std::string(1, '\1'));
}

TEST_CASE("a timeline's history is read as PostgreSQL writes it", "[pg]") {
    const auto* text =
        "1\t0/3000158\tno recovery target specified\n\n  # a remark\n3\t16/B374D848\tbefore 2000-01-01 00:00:00+00\n";
    const auto history = parse_timeline_history(text, TimelineId(4), "00000004.history");
    CHECK(history.past == std::vector<PastTimeline>{{TimelineId(1), Lsn(0x3000158)}, {TimelineId(3), Lsn(0x16B374D848)}});
    CHECK(history.timeline_at(Lsn(0)) == TimelineId(1));
    CHECK(history.timeline_at(Lsn(0x3000157)) == TimelineId(1));
    CHECK(history.timeline_at(Lsn(0x3000158)) == TimelineId(3));
    CHECK(history.timeline_at(Lsn(0x16B374D848)) == TimelineId(4));
    CHECK(parse_timeline_history("1 0/10", TimelineId(2), "x").past.size() == 1); // no reason, no line end
    CHECK(parse_timeline_history("", TimelineId(2), "x").past.empty());
}

TEST_CASE("a turn of the history that came after the moment that was recovered to has no part in it", "[pg]") {
    // Recovered along timeline 3's history, to a moment before timeline 1 was left.
    const auto history =
        parse_timeline_history("1\t0/9000000\tx\n2\t0/C000000\tx\n3\t0/5000068\tbefore 2026-11-26\n", TimelineId(4), "x");
    CHECK(history.timeline_at(Lsn(0x5000067)) == TimelineId(1));
    CHECK(history.timeline_at(Lsn(0x5000068)) == TimelineId(4));
    CHECK(history.timeline_at(Lsn(0xA000000)) == TimelineId(4));
    CHECK(history.timeline_at(Lsn(0xD000000)) == TimelineId(4));
    CHECK(history.past.front() == PastTimeline{TimelineId(1), Lsn(0x5000068)});
    CHECK(history.past.back() == PastTimeline{TimelineId(3), Lsn(0x5000068)});
    // A later turn ends nothing that lies before it.
    const auto later = parse_timeline_history("1 0/9000000\n2 0/5000068\n3 0/7000000\n", TimelineId(4), "x");
    CHECK(later.timeline_at(Lsn(0x5000067)) == TimelineId(1));
    CHECK(later.timeline_at(Lsn(0x5000068)) == TimelineId(3));
    CHECK(later.timeline_at(Lsn(0x8000000)) == TimelineId(4));
}

TEST_CASE("a history that PostgreSQL would not write is refused", "[pg]") {
    for (const auto* text : {"1", "1\t", "x\t0/10\n", "1\tx\n", "0\t0/10\n", "2\t0/10\n1\t0/20\n", "1\t0/10\n1\t0/20\n",
                             "5\t0/10\n", "-1\t0/10\n", "4294967296\t0/10\n", "1\t0/10\n2\n"})
        CHECK(kind_of([&] { parse_timeline_history(text, TimelineId(5), "00000005.history"); }) == ErrorKind::corrupt);
}

TEST_CASE("a replication slot's name is PostgreSQL's", "[pg]") {
    check_slot_name("walg");
    check_slot_name(std::string(63, 'a'));
    check_slot_name("a_1");
    for (const auto& name :
         {std::string(), std::string(64, 'a'), std::string("Walg"), std::string("a-b"), std::string("a\"b"), std::string("a b")})
        CHECK(kind_of([&] { check_slot_name(name); }) == ErrorKind::misconfigured);
}

} // namespace walgd::pg
