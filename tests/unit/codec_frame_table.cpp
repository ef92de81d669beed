#include "common/codec/frame_table.hpp"

#include "common/base/helper_threads.hpp"
#include "common/codec/compression.hpp"
#include "tests/unit/codec_support.hpp"
#include "tests/unit/rounds.hpp"

namespace walgd::codec {

namespace {

const Compression& zstd() { return *compression_by_name("zstd"); }

std::string packed(std::string_view text, Content content = Content::pages, const std::string& level = {}) {
    return test::through([&](Sink& next) { return zstd().compressor(next, content, level); }, text);
}

std::vector<Frame> table_of(std::string_view object) {
    const auto bytes = frame_table_bytes(bytes_of(object));
    if (!bytes || *bytes > object.size()) return {};
    return parse_frame_table(bytes_of(object).last(*bytes), object.size()).value_or(std::vector<Frame>());
}

/// Needs only some of what comes, and takes note of it.
class Choosy : public Sink {
public:
    /// `wanted`: of each byte 'x', or ' ' where it is of no use.
    explicit Choosy(std::string_view wanted) : text(wanted.size(), '.'), wanted_(wanted) {}
    void write(ByteView bytes) override {
        std::ranges::copy(text_of(bytes), text.begin() + static_cast<std::ptrdiff_t>(at_));
        at_ += bytes.size();
    }
    void finish() override { CHECK(at_ == text.size()); }
    bool can_skip(std::uint64_t after, std::uint64_t count) const override {
        const auto begin = at_ + after;
        return begin + count <= wanted_.size() && wanted_.substr(begin, count).find('x') == std::string_view::npos;
    }
    void skip(std::uint64_t count) override {
        CHECK(can_skip(0, count));
        at_ += count;
        skipped += count;
    }
    std::string text;
    std::uint64_t skipped = 0;

private:
    std::string_view wanted_;
    std::size_t at_ = 0;
};

/// Runs, noise and text, so that blocks of every type are among the frames.
std::string of_all_kinds() {
    std::mt19937 random(7);
    std::string noise(frame_bytes, '\0');
    for (auto& c : noise) c = static_cast<char>(random());
    return test::sample(2 * frame_bytes) + std::string(2 * frame_bytes, '\0') + noise + test::sample(frame_bytes / 2, 2);
}

} // namespace

TEST_CASE("packed pages end with a table of their frames, and WAL does not", "[codec]") {
    const auto text = of_all_kinds();
    const auto object = packed(text);
    const auto frames = table_of(object);
    REQUIRE(frames.size() == 6);
    std::string again;
    std::size_t at = 0;
    for (const auto& frame : frames) {
        Blob plain(frame_bytes);
        const auto count = zstd().decompress(bytes_of(object).subspan(at, frame.packed), {plain.data(), plain.capacity()});
        CHECK(count == frame.plain);
        CHECK(content_hash(ByteView(plain.data(), count)) == frame.hash);
        again += text_of(ByteView(plain.data(), count));
        at += frame.packed;
    }
    CHECK((again == text));
    CHECK((test::through([](Sink& next) { return zstd().decompressor(next); }, object) == text));
    CHECK(table_of(packed(text, Content::wal)).empty());
    CHECK(table_of(packed(text, Content::pages, "3")).empty());
    CHECK(table_of(packed(test::sample(1000))).size() == 1);
    CHECK(table_of(packed("")).size() == 1);
}

TEST_CASE("a table of frames is the format's, byte by byte", "[codec]") {
    const std::vector<Frame> frames{{0x1234, 0x100000, content_hash({})}, {5, 6, {}}};
    const auto table = compose_frame_table(frames);
    // The hash of nothing is the one that XXH3's own documents give.
    CHECK(to_hex(bytes_of(table)) == "522a4d1848000000"
                                     "341200000000100099aa06d3014798d86001c324468d497f"
                                     "050000000600000000000000000000000000000000000000"
                                     "e32b6bc4fcf7e233561ba4681ef89456"
                                     "0200000077676631");
    CHECK(parse_frame_table(bytes_of(table), table.size() + 0x1234 + 5) == frames);
}

TEST_CASE("a table that is damaged, or of another object, is none", "[codec]") {
    const std::vector<Frame> frames{{1000, 2000, {}}, {10, 20, {}}, {1, 1, {}}};
    const auto table = compose_frame_table(frames);
    const auto bytes = table.size() + 1011;
    REQUIRE(parse_frame_table(bytes_of(table), bytes) == frames);
    CHECK_FALSE(parse_frame_table(bytes_of(table), bytes + 1));
    CHECK_FALSE(frame_table_bytes(bytes_of("short")));
    CHECK_FALSE(parse_frame_table(bytes_of(compose_frame_table({})), 32));
    for (std::size_t cut = 0; cut < table.size(); ++cut) CHECK_FALSE(parse_frame_table(bytes_of(table).first(cut), bytes));
    for (std::size_t at = 0; at < table.size(); ++at) {
        auto changed = table;
        changed[at] = static_cast<char>(changed[at] ^ 0x10);
        const auto parsed = parse_frame_table(bytes_of(changed), bytes);
        INFO(at);
        CHECK_FALSE(parsed);
    }
    CHECK_FALSE(parse_frame_table(bytes_of(compose_frame_table({{1, frame_bytes + 1, {}}})), 57));
    const auto empty = compose_frame_table({{5, 5, {}}, {0, 5, {}}}); // a fetch would read on for ever
    CHECK_FALSE(parse_frame_table(bytes_of(empty), empty.size() + 5));
}

TEST_CASE("frames in which nothing is needed are not decoded, in any cut", "[codec]") {
    const auto text = of_all_kinds();
    const auto object = packed(text);
    std::mt19937 random(3);
    for (unsigned round = 0; round < 40; ++round) {
        std::string wanted(text.size(), ' ');
        for (auto spots = random() % 4; spots > 0; --spots) wanted[random() % wanted.size()] = 'x';
        Choosy choosy(wanted);
        const auto stage = zstd().decompressor(choosy);
        const std::size_t piece = 1 + random() % (round % 2 == 0 ? 700'000 : 3000);
        for (std::size_t at = 0; at < object.size(); at += piece)
            stage->write(bytes_of(std::string_view(object).substr(at, piece)));
        stage->finish();
        if (piece > 1000) CHECK(choosy.skipped > 0);
        for (std::size_t at = 0; at < text.size(); ++at)
            if (wanted[at] == 'x') CHECK(choosy.text[at] == text[at]);
    }
}

TEST_CASE("frames are decoded ahead by helpers, in any cut, and in order", "[codec][threads]") {
    MemoryBudget budget(64 << 20);
    const auto text = of_all_kinds() + of_all_kinds();
    const auto object = packed(text);
    std::optional<HelperThreads> helpers(std::in_place, 4, budget);
    const auto helped = [&](Sink& next) { return zstd().helped_decompressor(next, *helpers); };
    std::mt19937 random(5);
    for (unsigned round = 0; round < rounds(20); ++round) {
        CHECK((test::through(helped, object, 1 + random() % 700'000) == text));
        std::string wanted(text.size(), ' ');
        for (auto spots = random() % 6; spots > 0; --spots) wanted[random() % wanted.size()] = 'x';
        Choosy choosy(wanted);
        const auto stage = helped(choosy);
        const std::size_t piece = 1 + random() % 700'000;
        for (std::size_t at = 0; at < object.size(); at += piece)
            stage->write(bytes_of(std::string_view(object).substr(at, piece)));
        stage->finish();
        CHECK(choosy.skipped > 0);
        for (std::size_t at = 0; at < text.size(); ++at)
            if (wanted[at] == 'x') CHECK(choosy.text[at] == text[at]);
        test::TextSink left; // in the middle
        helped(left)->write(bytes_of(object).first(random() % object.size()));
    }
    helpers.reset(); // what they had begun is ended
    CHECK(budget.used() == 0);
    MemoryBudget small(1 << 20); // nothing is ahead without memory for it
    HelperThreads poor(4, small);
    CHECK((test::through([&](Sink& next) { return zstd().helped_decompressor(next, poor); }, object) == text));
}

TEST_CASE("a changed bit in a frame without a checksum is found by the table", "[codec][threads]") {
    MemoryBudget budget(64 << 20);
    HelperThreads helpers(2, budget);
    const auto text = test::sample(2 * frame_bytes + 5000);
    const auto object = packed(text);
    std::mt19937 random(11);
    unsigned found = 0;
    constexpr auto turns = rounds(400);
    for (unsigned round = 0; round < turns; ++round) {
        auto changed = object;
        // Every third in the table.
        const auto at = round % 3 == 0 ? object.size() - 1 - random() % 100 : random() % object.size();
        changed[at] = static_cast<char>(changed[at] ^ 1 << random() % 8);
        INFO("round " << round << ", byte " << at << " of " << object.size());
        const auto at_once = [&]() -> std::string {
            Blob into(text.size());
            try {
                const auto count = zstd().decompress(bytes_of(changed), into.room());
                return text_of({into.data(), count}) == text ? "ok" : "other bytes";
            } catch (const Error& error) {
                return error.kind() == ErrorKind::corrupt ? "corrupt" : "another error";
            }
        };
        CHECK_THAT(at_once(), Catch::Equals("ok") || Catch::Equals("corrupt"));
        const auto said =
            round % 2 == 0 ? test::outcome([](Sink& next) { return zstd().decompressor(next); }, changed, text)
                           : test::outcome([&](Sink& next) { return zstd().helped_decompressor(next, helpers); }, changed, text);
        found += test::is_corrupt(said) ? 1 : 0;
        // A few bits of zstd mean nothing, and without its name a table is none.
        CHECK((test::is_corrupt(said) || said == "ok"));
    }
    CHECK(found > turns * 9 / 10);
}

TEST_CASE("two objects of pages one behind the other are both compared with their tables", "[codec]") {
    const auto text = test::sample(100'000) + test::sample(200'000, 2);
    // A skippable frame of somebody else's before, between and behind them, as large as a table of one frame.
    const auto foreign = test::hex("522a4d1830000000") + std::string(48, 'x');
    const auto before = foreign + packed(test::sample(100'000)) + foreign, object = before + packed(test::sample(200'000, 2));
    const auto decoded = [](Sink& next) { return zstd().decompressor(next); };
    CHECK((test::through(decoded, object + foreign, 1000) == text));
    unsigned found = 0;
    for (auto at = before.size() + 1000; at < object.size() - 200; at += 997) {
        auto changed = object;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        const auto said = test::outcome(decoded, changed, text);
        CHECK((test::is_corrupt(said) || said == "ok"));
        found += test::is_corrupt(said) ? 1 : 0;
    }
    CHECK(found > 10);
}

TEST_CASE("a frame of more bytes than a compressor makes is decoded all the same", "[codec]") {
    // Single segment, a content of 1 byte: blocks without any byte, then one of one byte.
    std::string frame = test::hex("28b52ffd2001");
    for (std::size_t count = 0; count < frame_bound / 3 + 1000; ++count) frame += std::string_view("\0\0\0", 3);
    frame += test::hex("090000") + "x";
    const auto object = packed("before ") + frame + packed(" behind");
    CHECK(test::through([](Sink& next) { return zstd().decompressor(next); }, object, 300'000) == "before x behind");
}

TEST_CASE("an object cut within a frame that is not needed is cut", "[codec]") {
    const auto object = packed(test::sample(3 * frame_bytes));
    const auto frames = table_of(object);
    REQUIRE(frames.size() == 3);
    const std::string nothing(std::size_t{3} * frame_bytes, ' ');
    for (const auto size : {std::size_t{30}, std::size_t{frames[0].packed} - 1, std::size_t{frames[0].packed} + 100}) {
        Choosy choosy(nothing);
        const auto stage = zstd().decompressor(choosy);
        stage->write(bytes_of(object).first(size));
        CHECK_THROWS_AS(stage->finish(), Error);
    }
}

} // namespace walgd::codec
