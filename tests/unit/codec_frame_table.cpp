#include "common/codec/frame_table.hpp"

#include "common/codec/compression.hpp"
#include "tests/unit/codec_support.hpp"

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
    bool can_skip(std::uint64_t count) const override {
        return at_ + count <= wanted_.size() && wanted_.substr(at_, count).find('x') == std::string_view::npos;
    }
    void skip(std::uint64_t count) override {
        CHECK(can_skip(count));
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

TEST_CASE("packed pages end with a table of their frames, and WAL and single frames do not", "[codec]") {
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
    CHECK(table_of(packed(test::sample(1000))).empty());
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
