#include "common/archive/documents.hpp"

#include "common/archive/layout.hpp"
#include "common/base/files.hpp"
#include "common/base/time_text.hpp"
#include "tests/unit/async_support.hpp"

#include <nlohmann/json.hpp>
#include <set>

namespace walgd::archive {

using test::kind_of;

namespace {

/// Every file of WAL-G's archives whose name ends so.
std::vector<std::string> golden(std::string_view ending) {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(WALGD_TEST_DATA)) {
        if (entry.is_regular_file() && entry.path().string().ends_with(ending)) found.push_back(entry.path().string());
    }
    REQUIRE_FALSE(found.empty());
    return found;
}

const std::string small_sentinel =
    R"({"LSN":33554472,"PgVersion":160004,"FinishLSN":33554744,"SystemIdentifier":18446744073709551615,)"
    R"("UncompressedSize":1,"CompressedSize":2,"DataCatalogSize":3,"ChkpNum":null,"Version":2,)"
    R"("StartTime":"2026-05-01T10:00:00.123456Z","FinishTime":"2026-05-01T10:01:35Z","DateFmt":"%Y-%m-%dT%H:%M:%S.%fZ",)"
    R"("Hostname":"pg1","DataDir":"/d","IsPermanent":false})";

} // namespace

TEST_CASE("every sentinel that WAL-G wrote is written again byte for byte", "[archive]") {
    for (const auto& path : golden("_backup_stop_sentinel.json")) {
        INFO(path);
        const auto text = read_text_file(path);
        auto sentinel = parse_sentinel(text, path);
        CHECK(to_json(sentinel) == text);
    }
    CHECK(to_json(parse_sentinel(small_sentinel, "x")) == small_sentinel);
}

TEST_CASE("every metadata.json that WAL-G wrote is written again byte for byte", "[archive]") {
    for (const auto& path : golden("/metadata.json")) {
        INFO(path);
        const auto text = read_text_file(path);
        CHECK(to_json(parse_metadata(text, path)) == text);
    }
}

TEST_CASE("documents are read as WAL-G reads them", "[archive]") {
    auto text = small_sentinel;
    text.replace(text.find("\"LSN\""), 5, "\"lsn\"");
    text.insert(1, R"("unknown":{"x":[1,2]},)");
    const auto sentinel = parse_sentinel(text + " \n", "x");
    CHECK(sentinel.start_lsn == pg::Lsn(33554472));
    CHECK(sentinel.system == pg::SystemIdentifier(18446744073709551615ULL));
}

TEST_CASE("a document that is cut, changed in type or followed by anything is an error that names it", "[archive]") {
    for (std::size_t count = 0; count < small_sentinel.size(); ++count)
        CHECK(kind_of([&] { parse_sentinel(std::string_view(small_sentinel).substr(0, count), "the-object"); }) ==
              ErrorKind::corrupt);
    for (const auto& [from, to] : {std::pair("33554472", "\"33554472\""), std::pair("33554472", "-1"), std::pair("\"pg1\"", "1"),
                                   std::pair("false", "0"), std::pair("\"2026-05-01T10:01:35Z\"", "\"yesterday\"")}) {
        auto text = small_sentinel;
        text.replace(text.find(from), std::string_view(from).size(), to);
        CHECK(kind_of([&] { parse_sentinel(text, "the-object"); }) == ErrorKind::corrupt);
    }
    CHECK_THROWS_WITH(parse_sentinel(small_sentinel + "x", "the-object"),
                      Catch::Contains("the-object is not JSON: parse error at line 1"));
    CHECK_THROWS_WITH(parse_sentinel("[]", "the-object"), Catch::Contains("the-object"));
}

TEST_CASE("a delta's sentinel or a mark that lost a key is damaged, not another backup's", "[archive]") {
    const std::string delta = R"("DeltaLSN":1,"DeltaFrom":"base_1","DeltaFullName":"base_1","DeltaCount":1,)";
    const auto with = [&](const std::string& keys) {
        return parse_sentinel("{" + keys + small_sentinel.substr(1), "the-object");
    };
    CHECK(with(delta).delta->from == "base_1");
    for (const std::string key : {"DeltaLSN", "DeltaFrom", "DeltaFullName"}) {
        auto keys = delta;
        keys[keys.find(key)] ^= 1;
        CHECK(kind_of([&] { with(keys); }) == ErrorKind::corrupt);
    }
    CHECK_FALSE(with(R"("DeltaLSN":null,"DeltaFrom":null,"DeltaFullName":null,"DeltaCount":null,)").delta);
    auto metadata = to_json(BackupMetadata{});
    CHECK_FALSE(parse_metadata(metadata, "the-object").is_permanent);
    metadata[metadata.find("is_permanent")] ^= 1;
    CHECK_THROWS_WITH(parse_metadata(metadata, "the-object"), Catch::Contains("the-object does not tell is_permanent"));
}

TEST_CASE("values that lie too deep in each other are told, and no end of the stack", "[archive]") {
    const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    for (const std::size_t depth : {1001U, 100000U, 3000000U}) {
        auto text = small_sentinel;
        text.insert(1, "\"UserData\":" + nested(depth) + ",");
        CHECK(kind_of([&] { parse_sentinel(text, "the-object"); }) == ErrorKind::corrupt);
        CHECK(kind_of([&] { normalized_user_data(nested(depth)); }) == ErrorKind::misconfigured);
    }
    CHECK(normalized_user_data(nested(1000)) == nested(1000));
    const auto in_text = "\"" + std::string(5000, '[') + R"(\")" + std::string(5000, '{') + "\"";
    CHECK(normalized_user_data(in_text) == in_text);
}

TEST_CASE("files_metadata.json of WAL-G is read in any cut, entry by entry", "[archive]") {
    for (const auto& path : golden("/files_metadata.json")) {
        INFO(path);
        const auto text = read_text_file(path, 64 << 20);
        const auto whole = nlohmann::json::parse(text);
        for (const std::size_t piece : {std::size_t{7}, text.size()}) {
            if (piece == 7 && text.size() > 300000) continue;
            std::set<std::string> names, members;
            std::size_t incremented = 0;
            FilesMetadataReader::Callbacks callbacks;
            callbacks.file = [&](std::string_view name, const FileDescription& file) {
                names.emplace(name);
                incremented += file.is_incremented ? 1 : 0;
            };
            callbacks.tar_member = [&](std::string_view tar, std::string_view member) {
                members.insert(std::string(tar) + std::string(member));
            };
            FilesMetadataReader reader(std::move(callbacks), path);
            for (std::size_t at = 0; at < text.size(); at += piece) reader.write(std::string_view(text).substr(at, piece));
            reader.finish();
            const auto& files = whole.at("Files");
            CHECK(names.size() == files.size());
            std::size_t expected_incremented = 0, expected_members = 0;
            for (const auto& [name, file] : files.items()) {
                CHECK(names.contains(name));
                if (file.is_object() && file.at("IsIncremented").get<bool>()) ++expected_incremented;
            }
            if (whole.contains("TarFileSets")) {
                for (const auto& [tar, list] : whole.at("TarFileSets").items()) expected_members += list.size();
            }
            CHECK(incremented == expected_incremented);
            CHECK(members.size() == expected_members);
        }
    }
}

TEST_CASE("files_metadata.json of ours is WAL-G's shape, also when empty or without parts", "[archive]") {
    std::string text;
    FilesMetadataWriter writer([&](std::string_view part) { text += part; });
    FileDescription plain, damaged;
    plain.modified = *parse_time("2026-05-01T10:00:00.5Z");
    damaged.corrupt_block_count = 12;
    damaged.corrupt_blocks = {3, 17};
    writer.add("/a\"b", plain);
    writer.add("/c", damaged);
    writer.part("part_001.tar.lz4", {"/a\"b", "/c"});
    writer.finish();
    const auto document = nlohmann::json::parse(text);
    CHECK(document["Files"]["/a\"b"]["MTime"] == "2026-05-01T10:00:00.5Z");
    CHECK(document["Files"]["/c"]["CorruptBlocks"] == nlohmann::json{{"CorruptBlocksCount", 12}, {"SomeCorruptBlocks", {3, 17}}});
    CHECK(document["TarFileSets"]["part_001.tar.lz4"].size() == 2);
    text.clear();
    FilesMetadataWriter empty([&](std::string_view part) { text += part; });
    empty.finish();
    CHECK(text == R"({"Files":{}})");
    text.clear();
    FilesMetadataWriter of_remote([&](std::string_view part) { text += part; });
    of_remote.add("base/1/1259", plain);
    of_remote.databases("{}");
    of_remote.finish();
    CHECK(nlohmann::json::parse(text).contains("DatabasesByNames"));
    CHECK_FALSE(nlohmann::json::parse(text).contains("TarFileSets"));
}

TEST_CASE("a damaged files_metadata.json is an error that names it", "[archive]") {
    const std::string text =
        R"({"Files":{"/a":{"IsIncremented":false,"IsSkipped":false,"MTime":"2026-05-01T10:00:00Z","UpdatesCount":0}}})";
    for (std::size_t count = 0; count < text.size(); ++count) {
        const auto read = [&] {
            FilesMetadataReader reader({}, "the-object");
            reader.write(std::string_view(text).substr(0, count));
            reader.finish();
        };
        CHECK_THROWS_WITH(read(), Catch::Contains("the-object"));
    }
}

TEST_CASE("a file of which files_metadata.json does not tell what it is is an error", "[archive]") {
    const std::string text =
        R"({"Files":{"/a":{"IsIncremented":true,"IsSkipped":false,"MTime":"2026-05-01T10:00:00Z","UpdatesCount":0}}})";
    for (const std::string key : {"IsIncremented", "IsSkipped"}) {
        auto damaged = text;
        damaged[damaged.find(key) + 3] ^= 1;
        const auto read = [&] {
            FilesMetadataReader reader({}, "the-object");
            reader.write(damaged);
            reader.finish();
        };
        CHECK_THROWS_WITH(read(), Catch::Contains("the-object does not tell " + key + " of /a"));
    }
}

TEST_CASE("files_metadata.json that comes before its reader's thread has begun is read too", "[archive][threads]") {
    const std::string text =
        R"({"Files":{"/a":{"IsIncremented":false,"IsSkipped":false,"MTime":"2026-05-01T10:00:00Z","UpdatesCount":0}}})";
    std::size_t files = 0;
    const std::size_t rounds = 2000;
    for (std::size_t round = 0; round < rounds; ++round) {
        FilesMetadataReader::Callbacks callbacks;
        callbacks.file = [&](std::string_view, const FileDescription&) { ++files; };
        FilesMetadataReader reader(std::move(callbacks), "the-object");
        reader.write(text);
        reader.finish();
    }
    CHECK(files == rounds);
}

TEST_CASE("times keep their nanoseconds and drop trailing zeros", "[archive]") {
    for (const auto* text :
         {"2026-05-01T10:00:00Z", "2026-05-01T10:00:00.1234Z", "1999-12-31T23:59:59.999999999Z", "0001-01-01T00:00:00Z"})
        CHECK(format_time(*parse_time(text)) == text);
    CHECK(parse_time("2026-05-01T12:59:59.5+03:00") == parse_time("2026-05-01T09:59:59.5Z"));
    // Of years that its nanoseconds do not hold a time is at their end.
    CHECK(parse_time("2300-01-01T00:00:00Z").value() > parse_time("2261-12-31T23:59:59.999999999Z").value());
    CHECK(parse_time("1601-01-01T00:00:00Z").value() < parse_time("1678-01-01T00:00:01Z").value());
    CHECK(parse_time("9999-12-31T23:59:59Z").value() < Time::max());
    for (const auto* text :
         {"", "2026-05-01", "2026-05-01T10:00:00", "2026-13-01T10:00:00Z", "2026-05-01T10:00:00.Z", "2026-05-01T10:00:00+3"})
        CHECK_FALSE(parse_time(text));
}

TEST_CASE("user data is re-encoded as WAL-G does it", "[archive]") {
    CHECK(normalized_user_data(R"({"x": 1, "big": 12345678901234567890, "note": "<&>"})") ==
          R"({"big":12345678901234567000,"note":"\u003c\u0026\u003e","x":1})");
    for (const auto* number :
         {"0", "-1", "1.5", "1e-7", "0.000001", "1234567890123456.5", "100000000000000000000", "1e+21", "-12345678901234567000"})
        CHECK(normalized_user_data(number) == number);
    CHECK(kind_of([] { normalized_user_data("hello"); }) == ErrorKind::misconfigured);
}

TEST_CASE("names of objects are WAL-G's, and ours never look like WAL", "[archive]") {
    CHECK(wal_key("000000010000000000000001", "zst").path() == "wal_005/000000010000000000000001.zst");
    CHECK(wal_key("000000010000000000000001", "").path() == "wal_005/000000010000000000000001");
    CHECK(part_name(1, "lz4") == "part_001.tar.lz4");
    CHECK(part_name(1234, "") == "part_1234.tar");
    CHECK(tar_key("base_000000010000000000000002", "part_001.tar.lz4").path() ==
          "basebackups_005/base_000000010000000000000002/tar_partitions/part_001.tar.lz4");
    CHECK(backup_of_sentinel("base_000000010000000000000002_backup_stop_sentinel.json") == "base_000000010000000000000002");
    CHECK(backup_of_sentinel("base_000000010000000000000002").empty());
    CHECK(valid_backup_name("base_000000010000000000000004_D_000000010000000000000002"));
    CHECK(valid_backup_name("base_000000010000000000000002_00000028"));
    CHECK_FALSE(valid_backup_name("../base_000000010000000000000002"));
    CHECK(first_segment_in("base_000000010000000000000004_D_000000010000000000000002") == "000000010000000000000004");
}

} // namespace walgd::archive
