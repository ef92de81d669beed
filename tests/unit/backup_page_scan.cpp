#include "common/backup/page_scan.hpp"
#include "common/pg/page.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

namespace walgd::backup {

namespace {

constexpr std::size_t page_bytes = 8192;
constexpr pg::Lsn start{0x3000000};

/// A used page of a relation, last written at `lsn`, with the right checksum for its place.
std::string page(std::uint32_t block, pg::Lsn lsn = pg::Lsn(0x2000000)) {
    std::string text(page_bytes, '\0');
    auto put = [&text](std::size_t offset, auto number) { std::memcpy(text.data() + offset, &number, sizeof number); };
    put(0, static_cast<std::uint32_t>(lsn.bytes() >> 32));
    put(4, static_cast<std::uint32_t>(lsn.bytes()));
    put(12, std::uint16_t{28});   // pd_lower
    put(14, std::uint16_t{8000}); // pd_upper
    put(16, std::uint16_t{8192}); // pd_special
    put(18, std::uint16_t{8192 + 4});
    text.replace(8100, 7, "content");
    put(8, pg::page_checksum(bytes_of(text), block));
    return text;
}

const BackupSpan span{.start = start, .finish = pg::Lsn(0x4000000)};

std::vector<std::uint32_t> damage_in(const std::string& member, const std::string& content, std::size_t cut,
                                     const BackupPages& pages = {}) {
    PageScan scan(span, pages);
    std::vector<std::uint32_t> found;
    REQUIRE(scan.begin(member));
    for (std::size_t at = 0; at < content.size(); at += cut)
        scan.write(bytes_of(content.substr(at, cut)), [&found](std::uint32_t block) { found.push_back(block); });
    return found;
}

} // namespace

TEST_CASE("page scan: any cut finds the same damaged blocks", "[backup]") {
    auto content = page(0) + page(1) + page(2) + page(3) + page(4);
    content[page_bytes + 8100] = 'K';
    content[4 * page_bytes + 8100] = 'K';
    for (const std::size_t cut : {std::size_t{1}, std::size_t{511}, page_bytes, page_bytes + 1, 5 * page_bytes})
        CHECK(damage_in("base/5/1259", content, cut) == std::vector<std::uint32_t>{1, 4});
}

TEST_CASE("page scan: a page written since the start may be torn, and one never used is fine", "[backup]") {
    auto torn = page(0, pg::Lsn(0x3000001));
    torn[8100] = 'K';
    CHECK(damage_in("global/1262", torn + std::string(page_bytes, '\0'), page_bytes).empty());
    CHECK(damage_in("global/1262", torn.substr(0, 100), page_bytes).empty());
}

TEST_CASE("page scan: no page was written behind the end of its backup", "[backup]") {
    auto last = page(0, *span.finish), later = page(1, pg::Lsn(span.finish->bytes() + 1));
    last[8100] = later[8100] = 'K';
    CHECK(damage_in("base/5/1259", last + later, page_bytes) == std::vector<std::uint32_t>{1});
    PageScan unknown({.start = start}, {});
    REQUIRE(unknown.begin("base/5/1259"));
    unknown.write(bytes_of(last + later), [](std::uint32_t block) { FAIL("block " << block); });
}

TEST_CASE("page scan: where checksums were turned off, what is left of them counts for nothing", "[backup]") {
    PageScan scan(span, {.checksums = false});
    REQUIRE(scan.begin("base/5/1259"));
    auto stale = page(0), broken = page(1);
    stale[8100] = 'K';
    broken[11] = '\x7f'; // flags that no page has
    std::vector<std::uint32_t> found;
    scan.write(bytes_of(stale + broken), [&found](std::uint32_t block) { found.push_back(block); });
    CHECK(found == std::vector<std::uint32_t>{1});
}

TEST_CASE("page scan: blocks of a later file of a relation have that relation's numbers", "[backup]") {
    constexpr std::uint32_t blocks_of_a_file = (1U << 30) / page_bytes;
    CHECK(damage_in("pg_tblspc/16384/PG_15_202209061/5/16385.2", page(2 * blocks_of_a_file), page_bytes).empty());
    CHECK(damage_in("base/5/16385.2", page(0), page_bytes) == std::vector<std::uint32_t>{0});
    // configure --with-segsize-blocks
    const BackupPages small{.relation_file_bytes = 6 * page_bytes};
    CHECK(damage_in("base/5/16385.2", page(12), page_bytes, small).empty());
    CHECK(damage_in("base/5/16385.2", page(0), page_bytes, small) == std::vector<std::uint32_t>{0});
}

TEST_CASE("page scan: only main forks of relations have pages that are checked", "[backup]") {
    PageScan scan(span, {});
    for (const auto* member : {"base/5/1259", "/base/5/1259", "./global/1262", "/pg_tblspc/16384/PG_15_202209061/5/16385.1"})
        CHECK(scan.begin(member));
    for (const auto* member : {"base/5/1259_fsm", "base/5/PG_VERSION", "pg_xact/0000", "global/pg_control", "1259"})
        CHECK_FALSE(scan.begin(member));
}

} // namespace walgd::backup
