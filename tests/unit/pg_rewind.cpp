#include "common/pg/divergence.hpp"
#include "common/pg/wal_records.hpp"
#include "tests/unit/record_support.hpp"

namespace walgd::pg {

namespace {

constexpr unsigned shutdown_checkpoint = 0x00, online_checkpoint = 0x10, segment_switch = 0x40, redo_point = 0xE0;

/// A segment of 1 MiB, cut off where it ends.
class Written : public test::WrittenWal {
public:
    explicit Written(std::uint32_t rest = 0) : WrittenWal(start, rest) {}
    std::optional<Lsn> last_checkpoint(Lsn before) const {
        auto segment = pages();
        segment.resize(1 << 20);
        return last_checkpoint_record(bytes_of(segment), before, "segment");
    }
};

constexpr Lsn end_of_wal(1ULL << 40);

} // namespace

TEST_CASE("the last checkpoint of a segment is found among records of every length", "[pg]") {
    Written wal;
    wal.record(50, 10, 0);
    const auto first = wal.record(114, 0, shutdown_checkpoint);
    for (std::uint32_t length = 24; length < 3000; length += 37) wal.record(length, 11, online_checkpoint);
    wal.record(40, 0, redo_point);
    wal.record(20000, 10, 0);
    const auto second = wal.record(114, 0, online_checkpoint);
    wal.record(60, 0, 0x30);
    CHECK(wal.last_checkpoint(end_of_wal) == second);
    CHECK(wal.last_checkpoint(second) == first);
    CHECK_FALSE(wal.last_checkpoint(first));
}

TEST_CASE("a record of the segment before is skipped, however long", "[pg]") {
    for (const std::uint32_t rest : {1U, 8U, 8152U, 8153U, 100000U}) {
        Written wal(rest);
        const auto checkpoint = wal.record(114, 0, online_checkpoint);
        CHECK(wal.last_checkpoint(end_of_wal) == checkpoint);
    }
    CHECK_FALSE(Written(2 << 20).last_checkpoint(end_of_wal));
}

TEST_CASE("after a segment switch nothing is read, and a record that was given up is none", "[pg]") {
    Written wal;
    const auto checkpoint = wal.record(114, 0, online_checkpoint);
    wal.give_up(30000, 0, online_checkpoint);
    CHECK(wal.last_checkpoint(end_of_wal) == checkpoint);
    const auto after = wal.record(114, 0, online_checkpoint);
    CHECK(wal.last_checkpoint(end_of_wal) == after);
    wal.record(24, 0, segment_switch);
    wal.record(114, 0, online_checkpoint);
    CHECK(wal.last_checkpoint(end_of_wal) == after);
}

TEST_CASE("what is no WAL is told so", "[pg]") {
    CHECK(test::kind_of([] { last_checkpoint_record(bytes_of(std::string("no")), end_of_wal, "x"); }) == ErrorKind::corrupt);
    test::WalHeaderText header;
    for (const std::uint32_t page : {0U, 1U, 512U, 8191U}) {
        header.page_bytes = page;
        CHECK(test::kind_of([&] { last_checkpoint_record(bytes_of(header.bytes()), end_of_wal, "x"); }) == ErrorKind::corrupt);
    }
}

TEST_CASE("two clusters part where the first of their common timelines ended", "[pg]") {
    const TimelineHistory first{TimelineId(1), {}};
    const TimelineHistory second{TimelineId(2), {{TimelineId(1), Lsn(500)}}};
    const TimelineHistory other_second{TimelineId(2), {{TimelineId(1), Lsn(400)}}};
    const TimelineHistory third{TimelineId(3), {{TimelineId(1), Lsn(500)}, {TimelineId(2), Lsn(900)}}};
    const TimelineHistory fourth{TimelineId(4), {{TimelineId(1), Lsn(500)}, {TimelineId(2), Lsn(700)}}};
    CHECK_FALSE(divergence(first, first));
    CHECK_FALSE(divergence(third, third));
    CHECK(divergence(first, second) == Lsn(500));
    CHECK(divergence(second, first) == Lsn(500));
    CHECK(divergence(second, other_second) == Lsn(400));
    CHECK(divergence(third, second) == Lsn(900));
    CHECK(divergence(third, fourth) == Lsn(700));
    CHECK(test::kind_of([&] { divergence(TimelineHistory{TimelineId(5), {}}, first); }) == ErrorKind::refused);
}

} // namespace walgd::pg
