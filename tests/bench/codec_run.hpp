#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>
#include <zstd.h>

/// What the benchmark's codec programs share: reading a segment, compressing it in frames, the process's CPU time.
namespace bench {

[[noreturn]] inline void fail(const std::string& what) {
    std::fprintf(stderr, "%s\n", what.c_str());
    std::exit(1);
}

inline std::size_t checked(std::size_t result, const char* what) {
    if (ZSTD_isError(result)) fail(std::string("cannot ") + what + ": " + ZSTD_getErrorName(result));
    return result;
}

/// User and system time of this process so far.
inline double cpu_ms() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

/// Reads the whole file into `buffer`, which keeps its memory from file to file.
inline void read_file(const char* path, std::vector<char>& buffer) {
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail(std::string("cannot open ") + path);
    const auto bytes = ::lseek(fd, 0, SEEK_END);
    buffer.resize(static_cast<std::size_t>(bytes < 0 ? 0 : bytes));
    std::size_t done = 0;
    for (ssize_t count = 1; done < buffer.size() && count > 0; done += static_cast<std::size_t>(count > 0 ? count : 0))
        count = ::pread(fd, buffer.data() + done, buffer.size() - done, static_cast<off_t>(done));
    ::close(fd);
    if (bytes <= 0 || done != buffer.size()) fail(std::string("cannot read ") + path);
}

/// A level, or where that is 0, the parameters of strategy fast.
struct Parameters {
    const char* name;
    int level;
    int window_log, hash_log, min_match, target_length;
};

class FreeContext {
public:
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

class Compressor {
public:
    explicit Compressor(const Parameters& chosen) : context_(ZSTD_createCCtx()) {
        if (!context_) fail("out of memory");
        if (chosen.level != 0) {
            set(ZSTD_c_compressionLevel, chosen.level);
            return;
        }
        set(ZSTD_c_strategy, ZSTD_fast);
        set(ZSTD_c_windowLog, chosen.window_log);
        set(ZSTD_c_hashLog, chosen.hash_log);
        set(ZSTD_c_minMatch, chosen.min_match);
        set(ZSTD_c_targetLength, chosen.target_length);
    }
    /// Stored bytes of `plain`, compressed in one call for every `frame_bytes`.
    std::size_t compress(const std::vector<char>& plain, std::size_t frame_bytes) {
        out_.resize(ZSTD_compressBound(frame_bytes));
        std::size_t stored = 0;
        for (std::size_t at = 0; at < plain.size(); at += frame_bytes) {
            const auto bytes = std::min(frame_bytes, plain.size() - at);
            stored += checked(ZSTD_compress2(context_.get(), out_.data(), out_.size(), plain.data() + at, bytes), "compress");
        }
        return stored;
    }
    void checksum() { set(ZSTD_c_checksumFlag, 1); }

private:
    void set(ZSTD_cParameter parameter, int value) {
        checked(ZSTD_CCtx_setParameter(context_.get(), parameter, value), "set a parameter");
    }
    std::unique_ptr<ZSTD_CCtx, FreeContext> context_;
    std::vector<char> out_;
};

} // namespace bench
