#include "common/backup/increment.hpp"

#include "common/base/error.hpp"
#include "tests/unit/has.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

namespace walgd::backup {

namespace {

constexpr std::uint32_t block_bytes = 512;

std::string page(char fill) { return std::string(block_bytes, fill); }

/// What a parser told, and in how large pieces.
struct Told : IncrementParser::Handler {
    void head(const IncrementHead& given) override {
        ++heads;
        known = given;
    }
    void page(std::uint64_t offset, ByteView bytes) override {
        CHECK(offset / block_bytes == (offset + bytes.size() - 1) / block_bytes); // never more than a page
        content.resize(std::max<std::size_t>(content.size(), offset + bytes.size()), '.');
        std::ranges::copy(text_of(bytes), content.begin() + static_cast<std::ptrdiff_t>(offset));
    }
    int heads = 0;
    IncrementHead known;
    std::string content;
};

Told parse(std::string_view bytes, std::size_t cut = 1 << 20) {
    Told told;
    IncrementParser parser(told, block_bytes, "part_001.tar: /base/1/1259");
    for (; !bytes.empty(); bytes.remove_prefix(std::min(cut, bytes.size()))) parser.write(bytes_of(bytes.substr(0, cut)));
    parser.finish();
    return told;
}

const IncrementHead two_of_four{std::uint64_t{4} * block_bytes, {1, 3}};

std::string text_of_error(std::string_view bytes) {
    try {
        parse(bytes);
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::corrupt);
        CHECK(std::string_view(error.what()).starts_with("part_001.tar: /base/1/1259 is not a good increment"));
        return error.what();
    }
    return "no error";
}

} // namespace

TEST_CASE("an increment's head is WAL-G's, byte by byte", "[backup]") {
    const auto head = compose_increment_head({0x6000, {0, 2}});
    CHECK(to_hex(bytes_of(head)) == "776931550060000000000000020000000000000002000000");
    CHECK(to_hex(bytes_of(compose_increment_head({0x2000, {}}))) == "77693155002000000000000000000000");
    CHECK(increment_bytes(2, 8192) == 16408);
}

TEST_CASE("an increment is read in any cut", "[backup]") {
    const auto bytes = compose_increment_head(two_of_four) + page('a') + page('b');
    for (const std::size_t cut : {std::size_t{1}, std::size_t{3}, std::size_t{16}, std::size_t{511}, bytes.size()}) {
        const auto told = parse(bytes, cut);
        CHECK(told.heads == 1);
        CHECK(told.known.file_bytes == two_of_four.file_bytes);
        CHECK(told.known.blocks == two_of_four.blocks);
        CHECK(told.content == page('.') + page('a') + page('.') + page('b'));
    }
}

TEST_CASE("an increment of nothing tells the file's size alone", "[backup]") {
    const auto told = parse(compose_increment_head({block_bytes, {}}), 1);
    CHECK(told.heads == 1);
    CHECK(told.known.file_bytes == block_bytes);
    CHECK(told.content.empty());
}

TEST_CASE("what is not an increment is refused, and why", "[backup]") {
    const auto good = compose_increment_head(two_of_four) + page('a') + page('b');
    CHECK(has(text_of_error(page('x')), "does not begin as one"));
    auto version = good;
    version[2] = '2';
    CHECK(has(text_of_error(version), "version '2'"));
    auto magic = good;
    magic[3] = 'U' + 1;
    CHECK(has(text_of_error(magic), "does not begin as one"));
    CHECK(has(text_of_error(good + "x"), "bytes follow its last page"));
    for (const std::size_t size : {std::size_t{0}, std::size_t{15}, std::size_t{16}, std::size_t{23}, good.size() - 1})
        CHECK(has(text_of_error(good.substr(0, size)), "it is cut"));
}

TEST_CASE("an increment's blocks are within its file, in order, each once", "[backup]") {
    const auto pages = page('a') + page('b');
    CHECK(has(text_of_error(compose_increment_head({std::uint64_t{2} * block_bytes, {0, 2}}) + pages),
              "block 2 is behind the end"));
    CHECK(has(text_of_error(compose_increment_head({std::uint64_t{3} * block_bytes - 1, {0, 2}}) + pages), "behind the end"));
    CHECK(has(text_of_error(compose_increment_head({std::uint64_t{4} * block_bytes, {3, 1}}) + pages),
              "block 1 comes after block 3"));
    CHECK(has(text_of_error(compose_increment_head({std::uint64_t{4} * block_bytes, {1, 1}}) + pages),
              "block 1 comes after block 1"));
    CHECK(has(text_of_error(compose_increment_head({block_bytes, {0, 1}}) + pages), "2 pages of a file"));
    auto many = compose_increment_head({~std::uint64_t{0}, {}});
    many[12] = many[13] = many[14] = many[15] = '\xff';
    CHECK(has(text_of_error(many), "4294967295 pages"));
}

TEST_CASE("pages of an increment that nobody wants are passed over", "[backup]") {
    struct Wants : Told {
        bool wants(std::uint64_t offset) const override { return offset / block_bytes == 5; }
    } told;
    IncrementParser parser(told, block_bytes, "part_001.tar: /base/1/1259");
    const auto head = compose_increment_head({std::uint64_t{8} * block_bytes, {1, 2, 5, 7}});
    CHECK_FALSE(parser.can_skip(0, 1)); // the head has to be read
    parser.write(bytes_of(head + page('1').substr(0, 100)));
    CHECK(parser.can_skip(0, 2 * block_bytes - 100));
    CHECK_FALSE(parser.can_skip(0, 2 * block_bytes - 99));
    parser.skip(block_bytes);
    CHECK_FALSE(parser.can_skip(0, block_bytes + 1));
    CHECK(parser.can_skip(0, block_bytes - 100));
    parser.skip(block_bytes - 100);
    CHECK_FALSE(parser.can_skip(0, 1));
    parser.write(bytes_of(page('5')));
    CHECK(parser.can_skip(0, block_bytes));
    CHECK_FALSE(parser.can_skip(0, block_bytes + 1)); // more than it has
    parser.skip(block_bytes - 1);
    CHECK_THROWS_AS(parser.finish(), Error);
    parser.skip(1);
    parser.finish();
    CHECK(told.content.substr(std::size_t{5} * block_bytes) == page('5'));
}

} // namespace walgd::backup
