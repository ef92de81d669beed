#include "common/base/error.hpp"
#include "common/codec/compression.hpp"
#include "common/pg/delta_object.hpp"
#include "common/pg/wal_name.hpp"
#include "tests/unit/codec_support.hpp"

#include <catch2/catch.hpp>

namespace walgd::pg {

namespace {

template <class... Numbers> std::string entry(Numbers... numbers) {
    std::string text;
    for (const std::uint32_t number : {static_cast<std::uint32_t>(numbers)...})
        text.append(reinterpret_cast<const char*>(&number), sizeof number);
    return text;
}

const RelationId packed_table{1663, 16384, 16385}, truncated{1663, 16384, 16400}, gone{16390, 5, 16500};
const std::string ours = entry(0, 1, 7, 8) + entry(0, 2, 0, 0x1000028), behind = entry(0, 3, 1, 0x2000040);

DeltaObject parse(const std::string& text) { return parse_delta_object(bytes_of(text), "the test's"); }
std::vector<std::uint32_t> blocks(const DeltaObject& object, const RelationId& id, std::size_t section = 0) {
    const auto* fork = object.sections.at(section).changes.find(id);
    return fork == nullptr ? std::vector<std::uint32_t>() : fork->blocks.between(0, 1ULL << 32);
}

std::string written(const DeltaObject& object) {
    auto text = delta_object_begin(object.proof->system);
    for (const auto& section : object.sections) text += delta_object_section(section);
    return text + delta_object_end(object.proof->end, object.tail);
}

} // namespace

TEST_CASE("a map of changed pages says again what was put into it, in entries that WAL-G knows or passes over", "[pg]") {
    DeltaObject object;
    object.proof = DeltaProof{SystemIdentifier(0x0000000700000008), Lsn(0x1000028), Lsn(0x102000040)};
    auto& changes = object.sections.emplace_back(Lsn(0x1000028)).changes;
    changes.of(packed_table).blocks.add(7);
    changes.of(packed_table).blocks.add(0xFFFFFFFE);
    changes.of(truncated).truncate(3);
    changes.of(truncated).blocks.add(2);
    changes.of(truncated).blocks.add(9);
    changes.of(gone).truncate(0);
    changes.replace_database(1663, 77);
    object.sections.emplace_back(Lsn(0x100000000)).changes.of(packed_table).blocks.add(8);
    object.tail = "\xAA\xBB\xCC";
    const auto text = written(object);
    CHECK(text == ours + entry(0, 4, 1663, 77) + entry(1663, 16384, 16385, 7) + entry(1663, 16384, 16385, 0xFFFFFFFE) +
                      entry(0, 5, 1663, 16384) + entry(0, 6, 16400, 3) + entry(1663, 16384, 16400, 2) +
                      entry(1663, 16384, 16400, 9) + entry(0, 5, 16390, 5) + entry(0, 6, 16500, 0) + entry(0, 2, 1, 0) +
                      entry(1663, 16384, 16385, 8) + behind + entry(0, 0, 0, 0) + entry(3) + "\xAA\xBB\xCC");
    const auto again = parse(text);
    CHECK(again.proof == object.proof);
    CHECK(again.tail == object.tail);
    CHECK(blocks(again, packed_table) == std::vector<std::uint32_t>{7, 0xFFFFFFFE});
    CHECK(blocks(again, truncated) == std::vector<std::uint32_t>{2, 9});
    REQUIRE(again.sections.size() == 2);
    CHECK(again.sections[1].start == Lsn(0x100000000));
    CHECK(blocks(again, packed_table, 1) == std::vector<std::uint32_t>{8});
    const auto& read = again.sections[0].changes;
    CHECK(read.find(truncated)->limit == 3U);
    CHECK(read.find(gone)->limit == 0U);
    CHECK_FALSE(read.find(packed_table)->limit);
    CHECK(read.replaced(1663, 77));
    CHECK(read.relations().size() == 3);
}

TEST_CASE("maps of changed pages that WAL-G made are read, and prove nothing", "[pg]") {
    const auto* zstd = codec::compression_by_suffix("zst");
    for (const std::string first : {"20", "30"}) {
        const auto packed = codec::test::golden("delta-zstd/archive/wal_005/0000000100000000000000" + first + "_delta.zst");
        auto decompress = [zstd](codec::Sink& next) { return zstd->decompressor(next); };
        const auto object = parse(codec::test::through(decompress, packed));
        CHECK_FALSE(object.proof);
        REQUIRE(object.sections.size() == 1);
        CHECK_FALSE(object.sections[0].changes.relations().empty());
        for (const auto& [id, fork] : object.sections[0].changes.relations()) {
            CHECK((id.tablespace == 1663 || id.tablespace == 1664 || id.tablespace >= 16384));
            CHECK(fork.blocks.size() > 0);
            CHECK_FALSE(fork.limit);
        }
    }
    const auto told = parse(entry(1663, 16384, 16385, 7) + entry(1663, 16384, 16385, 8) + entry(1663, 16384, 16385, 7) +
                            entry(0, 0, 0, 0) + entry(3) + "abc");
    CHECK(blocks(told, packed_table) == std::vector<std::uint32_t>{7, 8});
    CHECK(told.tail == "abc");
}

TEST_CASE("a map of changed pages that is cut or says what nobody knows is refused", "[pg]") {
    const auto whole = ours + entry(0, 5, 1663, 5) + entry(0, 6, 16400, 3) + behind + entry(0, 0, 0, 0) + entry(3) + "abc";
    parse(whole);
    for (std::size_t size = 0; size < whole.size(); ++size) CHECK_THROWS_AS(parse(whole.substr(0, size)), Error);
    const auto none = entry(0, 0, 0, 0) + entry(0), end = behind + none;
    parse(ours + end);
    CHECK_THROWS_AS(parse(ours + end + "more"), Error);
    CHECK_THROWS_AS(parse(ours + entry(0, 7, 1, 1) + end), Error);
    CHECK_THROWS_AS(parse(ours + entry(0, 6, 1, 1) + end), Error);
    CHECK_THROWS_AS(parse(ours + entry(0, 5, 1, 1) + entry(1663, 5, 16400, 1) + end), Error);
    CHECK_THROWS_AS(parse(entry(1663, 5, 16400, 1) + ours + end), Error);
    CHECK_THROWS_AS(parse(ours + none), Error);
    CHECK_THROWS_AS(parse(ours + behind + entry(1663, 5, 16400, 1) + none), Error);
    CHECK_THROWS_AS(parse(ours + entry(0, 2, 0, 0x1000020) + end), Error);
    CHECK_THROWS_AS(parse(entry(0, 1, 7, 8) + end), Error);
}

TEST_CASE("a group of sixteen segments is named by its first", "[pg]") {
    CHECK(delta_object_name(TimelineId(1), 2, segment_bytes_default) == "000000010000000000000020_delta");
    CHECK(delta_object_name(TimelineId(10), 16, segment_bytes_default) == "0000000A0000000100000000_delta");
}

} // namespace walgd::pg
