#include "common/codec/compression.hpp"

#include "tests/unit/codec_support.hpp"
#include "tests/unit/rounds.hpp"

#include <cstdio>
#include <cstdlib>
#include <unistd.h>

using namespace walgd;
using namespace walgd::codec;
using namespace walgd::codec::test;

namespace {

MakeStage compressor(std::string_view method, Content content = Content::wal, std::string level = {}) {
    return [=](Sink& next) { return compression_by_name(method)->compressor(next, content, level); };
}

MakeStage decompressor(std::string_view method) {
    return [=](Sink& next) { return compression_by_name(method)->decompressor(next); };
}

std::string packed(std::string_view method, std::string_view text) { return through(compressor(method), text); }
std::string unpacked(std::string_view method, std::string_view text) { return through(decompressor(method), text); }

/// A file with `content` that the destructor removes.
class TemporaryFile {
public:
    explicit TemporaryFile(std::string_view content) {
        const int fd = mkstemp(path_.data());
        REQUIRE(fd >= 0);
        write_all(fd, bytes_of(content), path_);
        close(fd);
    }
    ~TemporaryFile() { unlink(path_.c_str()); }
    const std::string& path() const { return path_; }

private:
    std::string path_ = "/tmp/walgd_codec_XXXXXX";
};

bool have_program(const std::string& name) {
    if (std::system(("command -v " + name + " >/dev/null 2>&1").c_str()) == 0) return true;
    WARN("skipped: the program " << name << " is not installed");
    return false;
}

/// What `command < content` prints.
std::string run_filter(const std::string& command, std::string_view content) {
    const TemporaryFile file(content);
    FILE* pipe = popen((command + " < " + file.path() + " 2>/dev/null").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string output;
    char buffer[65536];
    while (const auto count = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, count);
    CHECK(pclose(pipe) == 0);
    return output;
}

const char* const writable_methods[] = {"lz4", "zstd", "brotli", "lzma", "none"};

} // namespace

TEST_CASE("a whole object at once is what the stage makes of it, and touches no byte before it asked", "[codec]") {
    const auto text = sample(5 << 20) + "the end";
    for (const auto* method : writable_methods) {
        const auto object = packed(method, text);
        std::string into(text.size() + 1000, '#');
        const auto bytes = std::as_writable_bytes(std::span(into));
        std::size_t asked = 0;
        const auto may_fill = [&](std::size_t end) {
            CHECK(end >= asked);
            CHECK((into.find_first_not_of('#', asked) == std::string::npos));
            asked = end;
        };
        CHECK(compression_by_name(method)->decompress(bytes_of(object), bytes, may_fill) == text.size());
        CHECK(asked >= text.size());
        CHECK((into == text + std::string(1000, '#')));
    }
}

TEST_CASE("a whole object that is cut, damaged or too large is corrupt", "[codec]") {
    const auto text = sample(2 << 20);
    for (const auto* method : {"lz4", "zstd", "brotli", "lzma"}) {
        const auto* codec = compression_by_name(method);
        const auto object = packed(method, text);
        Blob into(text.size());
        const auto kind = [&](std::string_view bytes, std::size_t room) {
            try {
                codec->decompress(bytes_of(bytes), into.room().first(room));
                return std::string("none");
            } catch (const Error& error) {
                return std::string(name_of(error.kind()));
            }
        };
        CHECK(kind(object, text.size()) == "none");
        for (const auto cut : {std::size_t{1}, object.size() / 2, object.size() - 1})
            CHECK(kind(std::string_view(object).substr(0, cut), text.size()) == name_of(ErrorKind::corrupt));
        CHECK(kind(object + "x", text.size()) == name_of(ErrorKind::corrupt));
        for (const auto room : {std::size_t{0}, std::size_t{1}, text.size() - 1})
            CHECK(kind(object, room) == name_of(ErrorKind::corrupt));
    }
}

TEST_CASE("methods are found by name and suffix, in the order of probing", "[codec]") {
    std::string order;
    for (const Compression* method : compressions())
        order += std::string(method->name()) + "=" + std::string(method->suffix()) + " ";
    CHECK(order == "lz4=lz4 zstd=zst brotli=br lzma=lzma none= gzip=gz ");
    CHECK(compression_by_name("zstd") == compression_by_suffix("zst"));
    CHECK(compression_by_name("snappy") == nullptr);
    CHECK(compression_by_suffix("xz") == nullptr);
}

TEST_CASE("what is compressed comes back, for any size and any cut", "[codec]") {
    for (const char* method : writable_methods) {
        INFO(method);
        const std::size_t sizes[] = {0, 1, 5, 4095, 128 << 10, (128 << 10) + 1, (4 << 20) - 1, 4 << 20, (4 << 20) + 3, 9 << 20};
        for (const auto size : sizes) {
            INFO(size);
            const auto text = sample(size);
            CHECK(unpacked(method, packed(method, text)) == text);
        }
        const auto text = sample(300000);
        const auto whole = packed(method, text);
        CHECK(through(decompressor(method), through(compressor(method), text, 1), 1) == text);
        for (unsigned seed = 0; seed < rounds(25); ++seed) {
            INFO("seed " << seed);
            const auto pieces = through_random_cuts(compressor(method), text, seed);
            CHECK(through_random_cuts(decompressor(method), pieces, seed + 1000) == text);
            CHECK(through_random_cuts(decompressor(method), whole, seed + 2000) == text);
        }
    }
}

TEST_CASE("content of many frames, whole or with a rest, comes back", "[codec]") {
    for (const char* method : writable_methods) {
        for (const std::size_t size : {std::size_t{1} << 20, (std::size_t{1} << 20) + 1, std::size_t{5} << 20}) {
            const auto text = sample(size);
            for (const std::size_t piece : {std::size_t{1} << 18, (std::size_t{1} << 20) + 7, text.size()})
                CHECK((unpacked(method, through(compressor(method), text, piece)) == text));
        }
    }
}

TEST_CASE("output is handed on in bounded pieces, however much a few bytes decode to", "[codec]") {
    const std::string zeros(64 << 20, '\0');
    for (const std::string method : {"lz4", "zstd", "brotli", "lzma"}) {
        TextSink out;
        const auto stage = decompressor(method)(out);
        const auto small = packed(method, zeros);
        stage->write(bytes_of(small));
        stage->finish();
        CHECK(out.text.size() == zeros.size());
        CHECK(out.largest <= (method == "brotli" ? std::size_t{4} << 20 : std::size_t{256} << 10));
    }
}

TEST_CASE("lz4 objects have WAL-G's bytes", "[codec]") {
    CHECK(packed("lz4", "") == hex("04224d186470b900000000055dcc02"));
    CHECK(packed("lz4", "hello") == hex("04224d186470b90500008068656c6c6f00000000f97700fb"));
}

TEST_CASE("every frame of a zstd object carries a checksum, or a table at the object's end has one", "[codec]") {
    constexpr char checksum_flag = 4; // in the frame header's descriptor, RFC 8878, 3.1.1.1.1
    for (const auto content : {Content::wal, Content::pages}) {
        for (const std::string level : {"", "3"}) {
            const auto text = through(compressor("zstd", content, level), sample(100000));
            CHECK(text.substr(0, 4) == hex("28b52ffd"));
            const bool has_table = content == Content::pages && level.empty();
            CHECK(((text[4] & checksum_flag) == 0) == has_table);
            CHECK(text.ends_with("wgf1") == has_table);
        }
    }
}

TEST_CASE("lzma objects have WAL-G's header and end marker", "[codec]") {
    CHECK(packed("lzma", "") == hex("5d00008000ffffffffffffffff0083fffbffffc0000000"));
    CHECK(packed("lzma", sample(10000)).substr(0, 13) == hex("5d00008000ffffffffffffffff"));
}

TEST_CASE("every zstd level is readable, and what is no level is refused with the list", "[codec]") {
    const auto text = sample(200000);
    for (const std::string level : {"", "fastest", "default", "better", "best", "1", "19"})
        CHECK(unpacked("zstd", through(compressor("zstd", Content::wal, level), text)) == text);
    for (const std::string level : {"0", "20", "-1", "fast", "3 ", "1e1", "99999999999"}) {
        INFO(level);
        CHECK_THROWS_AS(compression_by_name("zstd")->check_level(level), Error);
    }
    CHECK_NOTHROW(compression_by_name("lz4")->check_level(""));
    CHECK_THROWS_WITH(compression_by_name("lz4")->check_level("best"), Catch::Contains("no levels"));
}

TEST_CASE("several frames and skippable frames read as one content, where the format has them", "[codec]") {
    const auto skippable = hex("502a4d1803000000aabbcc");
    for (const std::string method : {"lz4", "zstd"}) {
        INFO(method);
        const auto frames =
            skippable + packed(method, "one ") + skippable + packed(method, "") + packed(method, "two") + skippable;
        CHECK(unpacked(method, frames) == "one two");
        CHECK(through(decompressor(method), frames, 1) == "one two");
    }
}

TEST_CASE("objects that WAL-G wrote decode to what WAL-G gave back", "[codec]") {
    struct Fixture {
        std::string folder, method;
    };
    for (const auto& [folder, method] : {Fixture{"lz4-default16", "lz4"}, Fixture{"delta-zstd", "zstd"},
                                         Fixture{"brotli", "brotli"}, Fixture{"lzma", "lzma"}, Fixture{"none", "none"}}) {
        const auto contents = golden_contents(folder + "/expected/wal.sha256");
        REQUIRE_FALSE(contents.empty());
        const std::string suffix(compression_by_name(method)->suffix());
        int seen = 0;
        for (const auto& expected : contents) {
            const auto path = folder + "/archive/wal_005/" + expected.name + (suffix.empty() ? "" : "." + suffix);
            if (access((std::string(WALGD_TEST_DATA) + "/" + path).c_str(), R_OK) != 0) continue;
            INFO(path);
            CHECK(sha256_hex(unpacked(method, golden(path))) == expected.sha256);
            ++seen;
        }
        INFO(folder);
        CHECK(seen > 0);
    }
}

TEST_CASE("the command line tools read our objects, and we theirs", "[codec]") {
    struct Tool {
        std::string method, program, decode;
        std::vector<std::string> encode;
    };
    const auto text = sample(5 << 20);
    const Tool tools[] = {
        {"lz4", "lz4", "lz4 -d -c", {"lz4 -c", "lz4 -c -B4 -BD -BX --content-size", "lz4 -c -9 -B5 --no-frame-crc"}},
        {"zstd", "zstd", "zstd -d -c", {"zstd -c", "zstd -c -19 --no-check", "zstd -c --long=27"}},
        {"brotli", "brotli", "brotli -d -c", {"brotli -c -q 5"}},
        {"lzma", "xz", "xz --format=lzma -d -c", {"xz --format=lzma -c -2"}},
        {"gzip", "gzip", "", {"gzip -c", "gzip -1 -c"}},
    };
    for (const auto& tool : tools) {
        if (!have_program(tool.program)) continue;
        if (!tool.decode.empty()) CHECK(run_filter(tool.decode, packed(tool.method, text)) == text);
        for (const auto& encode : tool.encode) {
            INFO(encode);
            const auto object = run_filter(encode, text);
            CHECK(unpacked(tool.method, object) == text);
            CHECK(through_random_cuts(decompressor(tool.method), object, 7) == text);
        }
    }
}

TEST_CASE("gzip members are read one after the other, and never made", "[codec]") {
    const auto hello = hex("1f8b0800000000000003cb48cdc9c9070086a6103605000000"), twice = hello + hello;
    REQUIRE(unpacked("gzip", hello) == "hello");
    CHECK(unpacked("gzip", twice) == "hellohello");
    for (std::size_t size = 0; size < hello.size(); ++size)
        CHECK(is_corrupt(outcome(decompressor("gzip"), hello.substr(0, size), "")));
    CHECK(is_corrupt(outcome(decompressor("gzip"), hello + "junk", "hello")));
    CHECK_FALSE(compression_by_name("gzip")->writable());
    TextSink out;
    CHECK_THROWS_AS(compression_by_name("gzip")->compressor(out, Content::wal, ""), Error);
}

TEST_CASE("a cut object is corrupt, wherever it is cut", "[codec]") {
    const auto text = sample(30000);
    for (const std::string method : {"lz4", "zstd", "brotli", "lzma"}) {
        const auto object = packed(method, text);
        for (std::size_t size = method == "zstd" ? 1 : 0; size < object.size();
             size += size < 40 || size + 40 > object.size() ? 1 : 97) {
            INFO(method << " cut to " << size << " of " << object.size());
            CHECK(is_corrupt(outcome(decompressor(method), object.substr(0, size), text)));
        }
    }
}

TEST_CASE("a changed byte is corrupt, where the format has a checksum", "[codec]") {
    const auto text = sample(30000);
    for (const std::string method : {"lz4", "zstd"}) {
        const auto object = packed(method, text);
        for (std::size_t at = 0; at < object.size(); at += at < 30 ? 1 : 61) {
            auto changed = object;
            changed[at] = static_cast<char>(changed[at] ^ 0x20);
            const auto result = outcome(decompressor(method), changed, text);
            INFO(method << " changed at " << at << ": " << result);
            // A change that leaves the content as it is (a window's size, a match with an equal twin) may pass; the content never
            // changes.
            CHECK((is_corrupt(result) || result == "ok"));
        }
    }
}

TEST_CASE("bytes after the end are corrupt", "[codec]") {
    const auto text = sample(3000);
    for (const std::string method : {"lz4", "zstd", "brotli", "lzma"}) {
        const auto object = packed(method, text);
        for (const std::string& junk : {std::string("x"), std::string("junkjunkjunkjunk"), std::string(600, '\0')}) {
            INFO(method << " with " << junk.size() << " bytes more");
            CHECK(is_corrupt(outcome(decompressor(method), object + junk, text)));
        }
    }
    for (const std::string method : {"brotli", "lzma"})
        CHECK(is_corrupt(outcome(decompressor(method), packed(method, text) + packed(method, text), text + text)));
}

TEST_CASE("an object of another method is corrupt, not content", "[codec]") {
    const auto text = sample(3000);
    for (const std::string writer : {"lz4", "zstd", "none"})
        for (const std::string reader : {"lz4", "zstd", "lzma", "gzip"})
            if (writer != reader) CHECK(is_corrupt(outcome(decompressor(reader), packed(writer, text), text)));
    if (have_program("xz"))
        CHECK(outcome(decompressor("lzma"), run_filter("xz -c", text), text).find(".lzma") != std::string::npos);
}

TEST_CASE("a zstd window beyond 512 MiB is refused", "[codec]") {
    // Window descriptor (31 - 10) << 3: 2 GiB.
    CHECK(is_corrupt(outcome(decompressor("zstd"), hex("28b52ffd00a8010000"), "")));
}

TEST_CASE("a stage that is destroyed unfinished passes nothing more on", "[codec]") {
    for (const char* method : writable_methods) {
        TextSink out;
        {
            const auto stage = compressor(method)(out);
        }
        CHECK(out.text.empty());
        CHECK(out.finished == 0);
    }
}
