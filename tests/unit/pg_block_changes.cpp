#include "common/base/error.hpp"
#include "common/pg/block_changes.hpp"
#include "common/pg/crc32c.hpp"
#include "common/pg/wal_summary.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <set>
#include <string>

namespace walgd::pg {

namespace {

const RelationId table{1663, 5, 16384};

/// A summary file, written as src/common/blkreftable.c writes it.
class SummaryText {
public:
    SummaryText() { number<std::uint32_t>(0x652b137b); }
    SummaryText& entry(const RelationId& relation, std::uint32_t fork, std::uint32_t limit,
                       const std::vector<std::vector<std::uint16_t>>& chunks = {}) {
        for (const auto value :
             {relation.tablespace, relation.database, relation.relation, fork, limit, static_cast<std::uint32_t>(chunks.size())})
            number(value);
        for (const auto& chunk : chunks) number(static_cast<std::uint16_t>(chunk.size()));
        for (const auto& chunk : chunks)
            for (const auto word : chunk) number(word);
        return *this;
    }
    std::string end() {
        text_.append(24, '\0');
        const auto sum = crc32c(bytes_of(text_));
        number(sum);
        return text_;
    }

private:
    template <class Number> void number(Number value) { text_.append(reinterpret_cast<const char*>(&value), sizeof value); }
    std::string text_;
};

constexpr std::uint32_t none = 0xFFFFFFFF;

} // namespace

TEST_CASE("a set of blocks holds what was added and not cut, few or many", "[pg]") {
    std::mt19937 dice(20250101);
    for (const std::uint32_t range : {100U, 70000U, 300000U}) {
        BlockSet blocks;
        std::set<std::uint32_t> expected;
        for (int step = 0; step < 30000; ++step) {
            const auto block = static_cast<std::uint32_t>(dice() % range);
            if (dice() % 10000 == 0) {
                blocks.cut(block);
                expected.erase(expected.lower_bound(block), expected.end());
            }
            blocks.add(block);
            expected.insert(block);
        }
        CHECK(blocks.size() == expected.size());
        const auto first = range / 3, end = range - range / 5;
        CHECK((blocks.between(first, end) == std::vector(expected.lower_bound(first), expected.lower_bound(end))));
        for (std::uint32_t block = 0; block < 100; ++block) CHECK(blocks.contains(block) == expected.contains(block));
        BlockSet merged;
        merged.add(range + 7);
        merged.merge(blocks);
        CHECK(merged.size() == expected.size() + 1);
    }
}

TEST_CASE("changes are appended in the order of the WAL: a truncation forgets what was before, not what comes after", "[pg]") {
    BlockChanges first, second;
    first.of(table).blocks.add(3);
    first.of(table).blocks.add(90);
    second.of(table).truncate(50);
    second.of(table).blocks.add(60);
    second.replace_database(1663, 7);
    first.append(second);
    CHECK(first.find(table)->limit == 50U);
    CHECK((first.find(table)->blocks.between(0, 1000) == std::vector<std::uint32_t>{3, 60}));
    CHECK(first.replaced(1663, 7));
    CHECK_FALSE(first.replaced(1663, 5));
    CHECK(first.find({1663, 5, 1}) == nullptr);
}

TEST_CASE("a WAL summary gives blocks, limits and replaced databases, of the main fork alone", "[pg]") {
    std::vector<std::uint16_t> bits(4096);
    bits[1] = 0b101;
    const auto text = SummaryText()
                          .entry({1663, 7, 0}, 0, 0)
                          .entry(table, 0, 1000, {{5, 9}, bits})
                          .entry(table, 2, 0, {{1}})
                          .entry({1663, 5, 16390}, 0, none, {{}, {4}})
                          .end();
    BlockChanges changes;
    read_wal_summary(bytes_of(text), "the test", changes);
    CHECK(changes.replaced(1663, 7));
    CHECK(changes.relations().size() == 2);
    CHECK(changes.find(table)->limit == 1000U);
    CHECK((changes.find(table)->blocks.between(0, 1 << 20) == std::vector<std::uint32_t>{5, 9, 65536 + 16, 65536 + 18}));
    CHECK((changes.find({1663, 5, 16390})->blocks.between(0, 1 << 20) == std::vector<std::uint32_t>{65536 + 4}));
}

TEST_CASE("a WAL summary that is cut anywhere, or changed, is an error that names it", "[pg]") {
    const auto text = SummaryText().entry(table, 0, none, {{5, 9}}).end();
    for (std::size_t size = 0; size < text.size(); ++size) {
        BlockChanges changes;
        CHECK_THROWS_WITH(read_wal_summary(bytes_of(text.substr(0, size)), "the test", changes), Catch::Contains("the test"));
        auto changed = text;
        changed[size] = static_cast<char>(changed[size] ^ 1);
        CHECK_THROWS_AS(read_wal_summary(bytes_of(changed), "the test", changes), Error);
    }
}

TEST_CASE("summaries cover a range without a gap, on one timeline", "[pg]") {
    const TimelineId one(1), two(2);
    const auto name = std::string("000000010000000000000028") + "00000000000000FF.summary";
    CHECK((parse_summary_name(name) == WalSummary{one, Lsn(0x28), Lsn(0xFF)}));
    CHECK(summary_name({one, Lsn(0x28), Lsn(0xFF)}) == name);
    CHECK_FALSE(parse_summary_name("000000010000000000000028.summary"));
    const std::vector<WalSummary> there{
        {one, Lsn(10), Lsn(20)}, {one, Lsn(20), Lsn(40)}, {one, Lsn(15), Lsn(30)}, {two, Lsn(40), Lsn(50)}};
    CHECK((covering(there, {one, Lsn(12), Lsn(35)}) == std::vector<WalSummary>{there[0], there[1]}));
    CHECK((covering(there, {one, Lsn(20), Lsn(40)}) == std::vector<WalSummary>{there[1]}));
    CHECK_FALSE(covering(there, {one, Lsn(9), Lsn(20)}));
    CHECK_FALSE(covering(there, {one, Lsn(20), Lsn(41)}));
    CHECK_FALSE(covering(there, {two, Lsn(39), Lsn(45)}));
}

} // namespace walgd::pg
