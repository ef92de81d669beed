#include "common/codec/context_pool.hpp"
#include "common/codec/methods.hpp"

// For ZSTD_c_stableInBuffer; the parameter has been there since 1.5.0.
#define ZSTD_STATIC_LINKING_ONLY
#include <array>
#include <charconv>
#include <fmt/format.h>
#include <optional>
#include <utility>
#include <zstd.h>
#include <zstd_errors.h>

namespace walgd::codec {

namespace {

using CompressContexts = ContextPool<ZSTD_CCtx, &ZSTD_freeCCtx>;
using DecompressContexts = ContextPool<ZSTD_DCtx, &ZSTD_freeDCtx>;

// A context that a large window made heavier than this is freed, not kept.
constexpr std::size_t kept_context_bytes_max = 16 << 20;
constexpr std::size_t kept_contexts_max = 8;
// 512 MiB, as WAL-G's reader takes it.
constexpr int window_log_max = 29;
// Levels 20 to 22 need windows, and so memory, beyond what a stage may have.
constexpr int level_max = 19;

CompressContexts& compress_contexts() {
    static CompressContexts pool(kept_contexts_max);
    return pool;
}

DecompressContexts& decompress_contexts() {
    static DecompressContexts pool(kept_contexts_max);
    return pool;
}

std::size_t checked(std::size_t result, const char* action) {
    if (ZSTD_isError(result))
        throw Error(ErrorKind::failed, fmt::format("cannot {} with zstd: {}", action, ZSTD_getErrorName(result)));
    return result;
}

/// The library's level; 0 for our own tuned parameters.
std::optional<int> level_number(const std::string& level) {
    static constexpr std::array<std::pair<std::string_view, int>, 5> named{
        {{"", 0}, {"default", 0}, {"fastest", 1}, {"better", 7}, {"best", 11}}};
    for (const auto& [name, number] : named)
        if (level == name) return number;
    int number = 0;
    const auto [end, error] = std::from_chars(level.data(), level.data() + level.size(), number);
    if (error != std::errc() || end != level.data() + level.size() || number < 1 || number > level_max) return std::nullopt;
    return number;
}

int checked_level(const std::string& level) {
    if (const auto number = level_number(level)) return *number;
    throw Error(ErrorKind::misconfigured, fmt::format("\"{}\" is not a zstd level", level),
                fmt::format("WALG_ZSTD_LEVEL is fastest, default, better, best, or a number from 1 to {}", level_max));
}

void set(ZSTD_CCtx* context, ZSTD_cParameter parameter, int value) {
    checked(ZSTD_CCtx_setParameter(context, parameter, value), "set a parameter");
}

CompressContexts::Handle prepared(Content content, const std::string& level) {
    auto context = compress_contexts().take(ZSTD_createCCtx);
    if (!context) throw Error(ErrorKind::failed, "cannot compress with zstd: out of memory");
    checked(ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_and_parameters), "start");
    set(context.get(), ZSTD_c_checksumFlag, 1);
    const int number = checked_level(level);
    if (number > 0) {
        set(context.get(), ZSTD_c_compressionLevel, number);
    } else {
        // A hash table that fits the first cache beats every level on WAL and on pages, in time and in size.
        set(context.get(), ZSTD_c_strategy, ZSTD_fast);
        set(context.get(), ZSTD_c_windowLog, content == Content::wal ? 21 : 19);
        set(context.get(), ZSTD_c_hashLog, content == Content::wal ? 14 : 13);
        set(context.get(), ZSTD_c_minMatch, 5);
    }
    return context;
}

void give_back(CompressContexts::Handle context) {
    if (ZSTD_sizeof_CCtx(context.get()) <= kept_context_bytes_max) compress_contexts().keep(std::move(context));
}

/// Compresses `bytes` into `next`, until all is taken (`continue`) or flushed (`end`).
void pump(ZSTD_CCtx* context, ByteView bytes, ZSTD_EndDirective mode, OutputBuffer& buffer, Sink& next) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (bool done = false; !done;) {
        ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
        const auto unflushed = checked(ZSTD_compressStream2(context, &out, &in, mode), "compress");
        if (out.pos > 0) next.write(buffer.first(out.pos));
        done = mode == ZSTD_e_end ? unflushed == 0 : in.pos == in.size;
    }
}

class Compressor final : public Sink {
public:
    Compressor(Sink& next, Content content, const std::string& level) : next_(next), context_(prepared(content, level)) {}
    ~Compressor() override {
        if (context_) give_back(std::move(context_));
    }
    void write(ByteView bytes) override { pump(context_.get(), bytes, ZSTD_e_continue, buffer_, next_); }
    void finish() override {
        pump(context_.get(), {}, ZSTD_e_end, buffer_, next_);
        give_back(std::move(context_));
        next_.finish();
    }

private:
    Sink& next_;
    CompressContexts::Handle context_;
    OutputBuffer buffer_;
};

class Decompressor final : public Sink {
public:
    explicit Decompressor(Sink& next) : next_(next), context_(decompress_contexts().take(ZSTD_createDCtx)) {
        if (!context_) throw Error(ErrorKind::failed, "cannot decompress with zstd: out of memory");
        checked(ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_and_parameters), "start");
        checked(ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, window_log_max), "start");
    }
    ~Decompressor() override {
        if (ZSTD_sizeof_DCtx(context_.get()) <= kept_context_bytes_max) decompress_contexts().keep(std::move(context_));
    }
    void write(ByteView bytes) override;
    void finish() override {
        if (missing_ != 0) refuse_cut("zstd");
        next_.finish();
    }

private:
    Sink& next_;
    DecompressContexts::Handle context_;
    OutputBuffer buffer_;
    // What the library still wants of the current frame: 0 between frames, and so for an object without any byte, which
    // WAL-G wrote for empty content once.
    std::size_t missing_ = 0;
};

void Decompressor::write(ByteView bytes) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    bool full = false; // more output may wait in the context although the input is used up
    while (in.pos < in.size || full) {
        ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
        missing_ = ZSTD_decompressStream(context_.get(), &out, &in);
        if (ZSTD_isError(missing_)) {
            if (ZSTD_getErrorCode(missing_) == ZSTD_error_memory_allocation) checked(missing_, "decompress");
            refuse_stream("zstd", ZSTD_getErrorName(missing_));
        }
        if (out.pos > 0) next_.write(buffer_.first(out.pos));
        full = missing_ != 0 && out.pos == out.size;
    }
}

class Zstd final : public Compression {
public:
    std::string_view name() const override { return "zstd"; }
    std::string_view suffix() const override { return "zst"; }
    std::unique_ptr<Sink> compressor(Sink& next, Content content, const std::string& level) const override {
        return std::make_unique<Compressor>(next, content, level);
    }
    std::unique_ptr<Sink> decompressor(Sink& next) const override { return std::make_unique<Decompressor>(next); }
    void check_level(const std::string& level) const override { checked_level(level); }

    // The library then reads from the caller's memory instead of copying everything into its window.
    void compress_whole(ByteView input, Sink& next, Content content, const std::string& level) const override {
        auto context = prepared(content, level);
        set(context.get(), ZSTD_c_stableInBuffer, 1);
        OutputBuffer buffer;
        pump(context.get(), input, ZSTD_e_end, buffer, next);
        give_back(std::move(context));
        next.finish();
    }
};

} // namespace

const Compression& zstd_method() {
    static const Zstd method;
    return method;
}

} // namespace walgd::codec
