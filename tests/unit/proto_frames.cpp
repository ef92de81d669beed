#include "proto/backup_request.hpp"
#include "proto/frame.hpp"

#include <catch2/catch.hpp>

namespace walgd::proto {

TEST_CASE("a frame comes out as it went in, in any cut of the bytes", "[proto]") {
    const std::vector<Frame> frames{{Type::ping, 1, {}},
                                    {Type::wal_push, 4000000000, {"000000010000000000000001"}},
                                    {Type::error, 7, {"refused", std::string(3000, 'x'), std::string("\0\xff", 2)}}};
    std::string bytes;
    for (const auto& frame : frames) bytes += encoded(frame);
    for (const std::size_t piece :
         {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{11}, std::size_t{1000}, bytes.size()}) {
        FrameReader reader;
        std::vector<Frame> read;
        for (std::size_t at = 0; at < bytes.size(); at += piece) {
            reader.feed(std::string_view(bytes).substr(at, piece));
            while (auto frame = reader.next()) read.push_back(*frame);
        }
        REQUIRE(read.size() == frames.size());
        CHECK_FALSE(reader.failed());
        CHECK_FALSE(reader.holds_part());
        for (std::size_t index = 0; index < frames.size(); ++index) {
            CHECK(read[index].type == frames[index].type);
            CHECK(read[index].request == frames[index].request);
            CHECK(read[index].fields == frames[index].fields);
        }
    }
}

TEST_CASE("who reads no more than is wanted has one frame at a time", "[proto]") {
    const auto first = encoded({Type::ping, 1, {}}), second = encoded({Type::wal_push, 2, {"000000010000000000000001"}});
    const auto bytes = first + second;
    FrameReader reader;
    std::size_t at = 0;
    for (const auto* frame : {&first, &second}) {
        for (const auto end = at + frame->size(); at < end;) {
            CHECK_FALSE(reader.next());
            const auto count = reader.wanted();
            REQUIRE(count > 0);
            REQUIRE(at + count <= end);
            reader.feed(std::string_view(bytes).substr(at, count));
            at += count;
        }
        CHECK(reader.next());
        CHECK_FALSE(reader.holds_part());
    }
}

TEST_CASE("a frame that is too long is not made, and not taken", "[proto]") {
    CHECK(encoded({Type::ok, 1, {std::string(frame_bytes_max, 'x')}}).empty());
    FrameReader reader;
    reader.feed(std::string("\xff\xff\xff\x7f\x01\x01\0\0\0\0", 10));
    CHECK_FALSE(reader.next());
    CHECK(reader.failed());
    CHECK_FALSE(reader.failure().empty());
}

TEST_CASE("what a backup is asked for arrives, and what an older client leaves out is as the daemon has it", "[proto]") {
    BackupRequest request;
    request.pgdata = "/data";
    request.user_data = "{}";
    request.from_name = "base_x";
    request.by_database = request.verify = true;
    request.place = "s3://bucket";
    request.encryption = "libsodium";
    request.settings = "delta_max_steps=0\n";
    const auto frame = to_frame(request, 7);
    CHECK(frame.type == Type::backup_push);
    CHECK(frame.request == 7);
    CHECK(frame.fields ==
          std::vector<std::string>{"/data", "bv", "{}", "base_x", "", "s3://bucket", "", "", "libsodium", "delta_max_steps=0\n"});
    const auto came = backup_request_of(frame);
    CHECK(to_frame(came, 7).fields == frame.fields);
    CHECK((came.by_database && came.verify && !came.full));
    request.by_rating = request.copy_parts = true;
    const auto composed = backup_request_of(to_frame(request, 7));
    CHECK((composed.by_rating && composed.copy_parts && !came.by_rating && !came.copy_parts));
    const auto shorter = backup_request_of({Type::backup_push, 1, {"", "fpjmsw"}});
    CHECK((shorter.full && shorter.permanent && shorter.count_journals && shorter.by_summaries && shorter.name_all_corrupt));
    CHECK(shorter.without_files_metadata);
    CHECK_FALSE(shorter.verify);
    CHECK(shorter.encryption.empty());
}

TEST_CASE("nonsense is told so and nothing more comes out", "[proto]") {
    const auto good = encoded({Type::wal_push, 1, {"name"}});
    for (const std::size_t at : {0UL, 4UL, head_bytes, head_bytes + 3}) {
        auto bad = good;
        bad[at] = '\x7f';
        FrameReader reader;
        reader.feed(bad + good + good);
        while (reader.next()) {
        }
        CHECK((reader.failed() || reader.holds_part()));
    }
    FrameReader reader;
    reader.feed("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_FALSE(reader.next());
    CHECK(reader.failed());
}

} // namespace walgd::proto
