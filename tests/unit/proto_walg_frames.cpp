#include "proto/walg_frame.hpp"

#include <catch2/catch.hpp>

namespace walgd::proto {

namespace {

using namespace std::string_literals;

const auto segment = "000000010000000000000003"s;

/// What comes out of `bytes` that come in pieces.
std::vector<WalgRequest> read_in_pieces(WalgFrameReader& reader, std::string_view bytes, std::size_t piece) {
    std::vector<WalgRequest> requests;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        reader.feed(bytes.substr(at, piece));
        while (auto request = reader.next()) requests.push_back(*request);
    }
    return requests;
}

} // namespace

TEST_CASE("requests of WAL-G's clients are read byte for byte", "[proto]") {
    const auto whole =
        "C\0\x03"s + "C\0\x08"s + "CHECK" + "F\0\x1b"s + segment + "f\0\x33\x02\0\x18"s + segment + "\0\x13pg_wal/RECOVERYXLOG"s;
    for (const std::size_t piece : {1UL, 2UL, 3UL, 5UL, 26UL, whole.size()}) {
        WalgFrameReader reader;
        const auto requests = read_in_pieces(reader, whole, piece);
        REQUIRE(requests.size() == 4);
        CHECK(requests[0].type == WalgType::check);
        CHECK(requests[0].body.empty());
        CHECK(requests[1].body == "CHECK");
        CHECK(requests[2].type == WalgType::push);
        CHECK(requests[2].body == segment);
        CHECK(requests[3].type == WalgType::fetch);
        CHECK(parse_arguments(requests[3].body) == std::vector<std::string>{segment, "pg_wal/RECOVERYXLOG"});
        CHECK_FALSE(reader.failed());
        CHECK_FALSE(reader.holds_part());
    }
}

TEST_CASE("a request of WAL-G's is written as it is read", "[proto]") {
    CHECK(encoded(WalgRequest{WalgType::push, segment}) == "F\0\x1b"s + segment);
    CHECK(encoded(WalgRequest{WalgType::fetch, encoded_arguments({segment, "pg_wal/RECOVERYXLOG"})}) ==
          "f\0\x33\x02\0\x18"s + segment + "\0\x13pg_wal/RECOVERYXLOG"s);
    const std::string longest(walg_body_bytes_max, 'x');
    WalgFrameReader reader;
    reader.feed(encoded(WalgRequest{WalgType::check, longest}));
    CHECK(reader.next()->body == longest);
    CHECK(encoded(WalgRequest{WalgType::check, longest + "x"}).empty());
    CHECK(encoded_arguments({std::string(0x10000, 'x')}).empty());
    CHECK(encoded_arguments({std::string(0xFFF0, 'x'), std::string(100, 'x')}).empty());
    CHECK(encoded_arguments(std::vector<std::string>(256)).empty());
}

TEST_CASE("a push's name ends at the zero byte that walg_archive leaves in it", "[proto]") {
    CHECK(name_in_push(segment) == segment);
    CHECK(name_in_push("00000002.history\0stale.."s) == "00000002.history");
    CHECK(name_in_push("\0nothing"s).empty());
    CHECK(name_in_push("").empty());
}

TEST_CASE("an unknown type and a length below the head are told so at the first byte that shows it", "[proto]") {
    for (const auto& [bytes, enough] : {std::pair{"GET / HTTP/1.1\r\n"s, 1UL}, std::pair{"\0\0\x03"s, 1UL},
                                        std::pair{"C\0\0"s, 3UL}, std::pair{"F\0\x02"s, 3UL}}) {
        WalgFrameReader reader;
        reader.feed(bytes.substr(0, enough - 1));
        CHECK_FALSE(reader.next());
        CHECK_FALSE(reader.failed());
        reader.feed(bytes.substr(enough - 1));
        CHECK_FALSE(reader.next());
        CHECK(reader.failed());
        reader.feed("C\0\x03"s);
        CHECK_FALSE(reader.next());
    }
}

TEST_CASE("arguments that do not fill the body exactly are none", "[proto]") {
    CHECK(parse_arguments("\0"s) == std::vector<std::string>{});
    CHECK(parse_arguments("\x02\0\x01x\0\0"s) == std::vector<std::string>{"x", ""});
    for (const auto& body : {""s, "\x01"s, "\x01\0"s, "\x01\0\x02x"s, "\x01\0\x01xy"s, "\0x"s, "\x02\0\x01x"s, "\x01\xff\xffx"s})
        CHECK_FALSE(parse_arguments(body));
}

} // namespace walgd::proto
