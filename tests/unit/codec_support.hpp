#pragma once
#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/base/sha256.hpp"
#include "common/codec/sink.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <functional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

/// The small language of the codec tests: text in, text out.
namespace walgd::codec::test {

using MakeStage = std::function<std::unique_ptr<Sink>(Sink&)>;

/// Counts what a Sink is told.
class TextSink : public Sink {
public:
    void write(ByteView bytes) override {
        largest = std::max(largest, bytes.size());
        text.append(text_of(bytes));
    }
    void finish() override { ++finished; }

    std::string text;
    std::size_t largest = 0;
    int finished = 0;
};

/// `input` through the stage, cut into pieces of at most `piece` bytes.
inline std::string through(const MakeStage& make, std::string_view input, std::size_t piece = 1 << 20) {
    TextSink out;
    const auto stage = make(out);
    for (std::size_t at = 0; at < input.size(); at += piece) stage->write(bytes_of(input.substr(at, piece)));
    stage->finish();
    REQUIRE(out.finished == 1);
    return std::move(out.text);
}

/// The same with pieces of random sizes, empty ones among them.
inline std::string through_random_cuts(const MakeStage& make, std::string_view input, unsigned seed) {
    std::mt19937 random(seed);
    const std::size_t piece_max = std::size_t{1} << (random() % 19);
    TextSink out;
    const auto stage = make(out);
    while (!input.empty()) {
        const auto count = std::min<std::size_t>(random() % (piece_max + 1), input.size());
        stage->write(bytes_of(input.substr(0, count)));
        input.remove_prefix(count);
    }
    stage->finish();
    return std::move(out.text);
}

/// "ok", or the kind and text of the error.
inline std::string outcome(const MakeStage& make, std::string_view input, std::string_view expected) {
    try {
        return through(make, input) == expected ? "ok" : "other bytes, without an error";
    } catch (const Error& error) {
        return std::string(name_of(error.kind())) + ": " + error.what();
    }
}

inline bool is_corrupt(const std::string& outcome) {
    return outcome.starts_with(std::string(name_of(ErrorKind::corrupt)) + ": ");
}

/// Something like WAL: runs of zeros, repeated records, and noise.
inline std::string sample(std::size_t size, unsigned seed = 1) {
    std::mt19937 random(seed);
    std::string text;
    text.reserve(size + 512);
    while (text.size() < size) {
        switch (random() % 4) {
        case 0:
            text.append(random() % 200, '\0');
            break;
        case 1:
            text.append("heap insert, relation 1663/5/16384 block ");
            break;
        case 2:
            text.append(text, text.size() - std::min<std::size_t>(text.size(), random() % 4000), 100);
            break;
        default:
            for (int i = 0; i < 24; ++i) text.push_back(static_cast<char>(random()));
        }
    }
    text.resize(size);
    return text;
}

/// The bytes of a constant that is right.
inline std::string hex(std::string_view digits) { return from_hex(digits).value(); }

inline std::string golden(const std::string& path) { return read_text_file(std::string(WALGD_TEST_DATA) + "/" + path); }

/// One line of expected/wal*.sha256: what WAL-G gave back for an object.
struct GoldenContent {
    std::string sha256, name;
    std::size_t size = 0;
};

inline std::vector<GoldenContent> golden_contents(const std::string& path) {
    std::istringstream lines(golden(path));
    std::vector<GoldenContent> contents;
    for (GoldenContent line; lines >> line.sha256 >> line.size >> line.name;) contents.push_back(line);
    return contents;
}

inline std::string sha256_hex(std::string_view text) { return to_hex(sha256(bytes_of(text))); }

/// A chain of two stages as one: what is written passes `first`, then `second`.
inline std::string through(const MakeStage& first, const MakeStage& second, std::string_view input) {
    TextSink out;
    const auto last = second(out);
    const auto head = first(*last);
    head->write(bytes_of(input));
    head->finish();
    return std::move(out.text);
}

} // namespace walgd::codec::test
