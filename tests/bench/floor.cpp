// The floor of a push: each segment is read and compressed in one call, in memory that is warm, and goes nowhere.
// Prints JSON: CPU milliseconds and stored bytes a segment. With --frame-bytes as walgd does it, a call for each of so many
// bytes.
#include "tests/bench/codec_run.hpp"

#include <chrono>
#include <cstring>
#include <thread>

namespace {

constexpr const char* usage = "usage: bench_floor [--pause-ms N] [--frame-bytes N] SEGMENT...\n";
/// As common/codec/zstd.cpp has it for WAL.
constexpr bench::Parameters wal{"wal", 0, 21, 14, 5, 0};

struct Options {
    std::chrono::milliseconds pause{0};
    std::size_t frame_bytes = 0; ///< 0: the whole segment
    int first_file = 1;
};

Options parse(int count, char** words) {
    Options options;
    int index = 1;
    for (; index + 1 < count && words[index][0] == '-'; index += 2) {
        const auto number = std::strtoull(words[index + 1], nullptr, 10);
        if (std::strcmp(words[index], "--pause-ms") == 0)
            options.pause = std::chrono::milliseconds(number);
        else if (std::strcmp(words[index], "--frame-bytes") == 0)
            options.frame_bytes = number;
        else
            bench::fail(usage);
    }
    options.first_file = index;
    if (index >= count || words[index][0] == '-') bench::fail(usage);
    return options;
}

} // namespace

int main(int count, char** words) {
    const auto options = parse(count, words);
    bench::Compressor compressor(wal);
    std::vector<char> plain;
    std::size_t stored = 0;
    double used = 0;
    // Once before it counts: the daemon that it is compared with has warm memory too.
    bench::read_file(words[options.first_file], plain);
    compressor.compress(plain, options.frame_bytes != 0 ? options.frame_bytes : plain.size());
    for (int index = options.first_file; index < count; ++index) {
        const auto before = bench::cpu_ms();
        bench::read_file(words[index], plain);
        stored += compressor.compress(plain, options.frame_bytes != 0 ? options.frame_bytes : plain.size());
        used += bench::cpu_ms() - before;
        std::this_thread::sleep_for(options.pause);
    }
    const int segments = count - options.first_file;
    std::printf("{\"n\": %d, \"cpu_ms_per_seg\": %.3f, \"stored_bytes_per_seg\": %zu}\n", segments, used / segments,
                stored / static_cast<std::size_t>(segments));
}
