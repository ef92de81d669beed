#include "common/base/error.hpp"
#include "common/pg/wal_check.hpp"
#include "tests/unit/wal_text.hpp"

#include <catch2/catch.hpp>

using namespace walgd;

namespace {

std::string name_of(std::size_t index) { return pg::segment_name({pg::TimelineId(1), index + 1}, test::WalText::segment); }

/// How many records it reads in segments that follow each other.
std::uint64_t read(const std::vector<std::string>& segments) {
    pg::WalCheck check;
    for (std::size_t index = 0; index < segments.size(); ++index) {
        check.begin(name_of(index), name_of(index));
        check.write(bytes_of(segments[index]));
        check.finish();
    }
    return check.records();
}

/// Two segments, the first one closed before it was full.
test::WalText closed_early() {
    test::WalText wal;
    constexpr unsigned heap_manager = 10;
    for (int count = 0; count < 100; ++count) wal.add(test::record(heap_manager, 0, {}, std::string(1000, 'x')));
    wal.switch_segment();
    for (int count = 0; count < 10; ++count) wal.add(test::record(heap_manager, 0, {}, std::string(1000, 'y')));
    wal.switch_segment();
    return wal;
}

} // namespace

TEST_CASE("what a segment that was closed early held before is read by nobody: a crash while it was emptied leaves it", "[pg]") {
    const auto wal = closed_early();
    const auto records = read({wal.part(0), wal.part(1)});
    CHECK(records == 112);
    auto crashed = wal.part(0);
    for (auto at = test::WalText::segment / 2; at < crashed.size(); at += test::WalText::page)
        crashed.replace(at, 1000, wal.part(0).substr(test::WalText::page, 1000));
    CHECK(read({crashed, wal.part(1)}) == records);
}

TEST_CASE("what was read before a segment was closed is checked", "[pg]") {
    const auto wal = closed_early();
    for (const std::size_t at : {std::size_t{50}, test::WalText::page + 2, test::WalText::page * 3 + 4000}) {
        auto damaged = wal.part(0);
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        CHECK_THROWS_AS(read({damaged, wal.part(1)}), Error);
    }
}
