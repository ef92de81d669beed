// Times what may be chosen for WAL on some segments: a frame of 1 MiB in one call, with checksum, as walgd writes it.
// Prints a line of JSON for each choice: CPU milliseconds (median of the rounds) and stored bytes a segment.
#include "tests/bench/codec_run.hpp"

#include <algorithm>
#include <array>

namespace {

constexpr std::size_t frame_bytes = 1 << 20;
constexpr int rounds = 5;

constexpr std::array choices{
    bench::Parameters{"fast, hashLog 13", 0, 21, 13, 5, 0},
    bench::Parameters{"fast, hashLog 14", 0, 21, 14, 5, 0},
    bench::Parameters{"fast, hashLog 15", 0, 21, 15, 5, 0},
    bench::Parameters{"fast, hashLog 13, targetLength 1", 0, 21, 13, 5, 1},
    bench::Parameters{"fast, hashLog 14, targetLength 1", 0, 21, 14, 5, 1},
    bench::Parameters{"fast, hashLog 15, targetLength 1", 0, 21, 15, 5, 1},
    bench::Parameters{"level 1", 1, 0, 0, 0, 0},
    bench::Parameters{"level 3", 3, 0, 0, 0, 0},
    bench::Parameters{"level 5", 5, 0, 0, 0, 0},
};

struct Result {
    std::vector<double> ms;
    std::size_t stored = 0;
};

} // namespace

int main(int count, char** words) {
    if (count < 2 || words[1][0] == '-') bench::fail("usage: bench_codec SEGMENT...");
    std::vector<std::vector<char>> segments(static_cast<std::size_t>(count - 1));
    for (int index = 1; index < count; ++index) bench::read_file(words[index], segments[static_cast<std::size_t>(index - 1)]);
    std::vector<bench::Compressor> compressors(choices.begin(), choices.end());
    for (auto& compressor : compressors) compressor.checksum();
    std::array<Result, choices.size()> results;
    // In turn, so that what else the machine does falls on all alike.
    for (int round = 0; round < rounds; ++round)
        for (std::size_t choice = 0; choice < choices.size(); ++choice) {
            const auto before = bench::cpu_ms();
            std::size_t stored = 0;
            for (const auto& segment : segments) stored += compressors[choice].compress(segment, frame_bytes);
            results[choice].ms.push_back((bench::cpu_ms() - before) / static_cast<double>(segments.size()));
            results[choice].stored = stored / segments.size();
        }
    for (std::size_t choice = 0; choice < choices.size(); ++choice) {
        auto& ms = results[choice].ms;
        std::ranges::nth_element(ms, ms.begin() + rounds / 2);
        std::printf("{\"choice\": \"%s\", \"cpu_ms\": %.2f, \"stored_bytes\": %zu}\n", choices[choice].name, ms[rounds / 2],
                    results[choice].stored);
    }
}
