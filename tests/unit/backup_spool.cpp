#include "common/backup/push/files_spool.hpp"

#include "common/codec/sink.hpp"
#include "tests/unit/async_support.hpp"

namespace walgd::backup {

TEST_CASE("a spool gives back what was appended, and forgets what was cut", "[backup]") {
    TextSpool spool("the test's file");
    std::string expected;
    for (int number = 0; number < 50000; ++number) {
        const auto line = std::to_string(number) + ";";
        spool.append(line);
        expected += line;
    }
    CHECK(spool.bytes() == expected.size());
    CHECK(spool.read(10, 5) == expected.substr(10, 5));
    CHECK(spool.read(expected.size() - 2, 10) == expected.substr(expected.size() - 2));
    for (const std::size_t left : {expected.size() - 3, std::size_t{200000}, std::size_t{7}, std::size_t{0}}) {
        spool.append("to be cut");
        spool.cut(left);
        spool.append("end");
        std::string all;
        spool.copy_to([&all](std::string_view text) { all += text; });
        CHECK((all == expected.substr(0, left) + "end"));
        spool.cut(left);
    }
}

TEST_CASE("files_metadata.json has DatabasesByNames where there is any, and is complete without", "[backup]") {
    for (const bool named : {false, true}) {
        FilesSpool spool;
        spool.add("/a", {});
        spool.part("part_001.tar.zst", {"/a"});
        if (named) spool.databases().append(R"({"postgres":{"oid":5,"tables_new":{}}})");
        codec::BlobSink out;
        spool.finish(out);
        const auto text = std::string(text_of(out.take().view()));
        CHECK_THAT(text, Catch::StartsWith(R"({"Files":{"/a":)"));
        CHECK_THAT(
            text,
            Catch::EndsWith(
                named ? R"("TarFileSets":{"part_001.tar.zst":["/a"]},"DatabasesByNames":{"postgres":{"oid":5,"tables_new":{}}}})"
                      : R"("TarFileSets":{"part_001.tar.zst":["/a"]}})"));
    }
}

} // namespace walgd::backup
