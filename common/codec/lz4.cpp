#include "common/codec/context_pool.hpp"
#include "common/codec/methods.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <lz4frame.h>
#include <utility>

namespace walgd::codec {

namespace {

using Lz4CompressContexts = ContextPool<LZ4F_cctx, &LZ4F_freeCompressionContext>;
using Lz4DecompressContexts = ContextPool<LZ4F_dctx, &LZ4F_freeDecompressionContext>;

constexpr std::size_t block_bytes = 4 << 20;
// A context holds a block: 4 MiB.
constexpr std::size_t kept_lz4_contexts_max = 4;

Lz4CompressContexts& lz4_compress_contexts() {
    static Lz4CompressContexts pool(kept_lz4_contexts_max);
    return pool;
}

Lz4DecompressContexts& lz4_decompress_contexts() {
    static Lz4DecompressContexts pool(kept_lz4_contexts_max);
    return pool;
}

std::size_t checked_lz4(std::size_t result, const char* action) {
    if (LZ4F_isError(result))
        throw Error(ErrorKind::failed, fmt::format("cannot {} with lz4: {}", action, LZ4F_getErrorName(result)));
    return result;
}

LZ4F_cctx* make_compress_context() {
    LZ4F_cctx* context = nullptr;
    checked_lz4(LZ4F_createCompressionContext(&context, LZ4F_VERSION), "compress");
    return context;
}

LZ4F_dctx* make_decompress_context() {
    LZ4F_dctx* context = nullptr;
    checked_lz4(LZ4F_createDecompressionContext(&context, LZ4F_VERSION), "decompress");
    return context;
}

/// The header WAL-G writes, 04 22 4d 18 64 70 b9: independent blocks of 4 MiB, a checksum of the content, none of the blocks
/// (releases of WAL-G disagree about what those cover).
LZ4F_preferences_t preferences() {
    LZ4F_preferences_t chosen{};
    chosen.frameInfo.blockSizeID = LZ4F_max4MB;
    chosen.frameInfo.blockMode = LZ4F_blockIndependent;
    chosen.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
    return chosen;
}

class Lz4Compressor final : public Sink {
public:
    explicit Lz4Compressor(Sink& next)
        : next_(next), context_(lz4_compress_contexts().take(make_compress_context)), buffer_(room_for_a_block()) {
        const auto chosen = preferences();
        header_bytes_ = checked_lz4(LZ4F_compressBegin(context_.get(), buffer_.data(), buffer_.size(), &chosen), "start");
    }
    ~Lz4Compressor() override { lz4_compress_contexts().keep(std::move(context_)); }
    void write(ByteView bytes) override {
        pass_header();
        while (!bytes.empty()) {
            const auto piece = bytes.first(std::min(bytes.size(), block_bytes));
            pass(checked_lz4(
                LZ4F_compressUpdate(context_.get(), buffer_.data(), buffer_.size(), piece.data(), piece.size(), nullptr),
                "compress"));
            bytes = bytes.subspan(piece.size());
        }
    }
    void finish() override {
        pass_header();
        pass(checked_lz4(LZ4F_compressEnd(context_.get(), buffer_.data(), buffer_.size(), nullptr), "compress"));
        next_.finish();
    }

private:
    static std::size_t room_for_a_block() {
        const auto chosen = preferences();
        return LZ4F_compressBound(block_bytes, &chosen);
    }
    void pass_header() { pass(std::exchange(header_bytes_, 0)); }
    void pass(std::size_t count) {
        if (count > 0) next_.write(buffer_.first(count));
    }

    Sink& next_;
    Lz4CompressContexts::Handle context_;
    OutputBuffer buffer_;
    std::size_t header_bytes_ = 0; // in buffer_, not yet passed on
};

class Lz4Decompressor final : public Sink {
public:
    explicit Lz4Decompressor(Sink& next) : next_(next), context_(lz4_decompress_contexts().take(make_decompress_context)) {
        LZ4F_resetDecompressionContext(context_.get());
    }
    ~Lz4Decompressor() override { lz4_decompress_contexts().keep(std::move(context_)); }
    void write(ByteView bytes) override;
    void finish() override {
        if (missing_ != 0) refuse_cut("lz4");
        next_.finish();
    }

private:
    Sink& next_;
    Lz4DecompressContexts::Handle context_;
    OutputBuffer buffer_{256 << 10};
    std::size_t missing_ = 1; // what the library still wants: 0 after a frame
};

void Lz4Decompressor::write(ByteView bytes) {
    bool full = false; // more output may wait in the context although the input is used up
    while (!bytes.empty() || full) {
        std::size_t taken = bytes.size(), made = buffer_.size();
        missing_ = LZ4F_decompress(context_.get(), buffer_.data(), &made, bytes.data(), &taken, nullptr);
        if (LZ4F_isError(missing_)) refuse_stream("lz4", LZ4F_getErrorName(missing_));
        if (made > 0) next_.write(buffer_.first(made));
        bytes = bytes.subspan(taken);
        full = missing_ != 0 && made == buffer_.size();
    }
}

class Lz4 final : public Compression {
public:
    std::string_view name() const override { return "lz4"; }
    std::string_view suffix() const override { return "lz4"; }
    std::unique_ptr<Sink> compressor(Sink& next, Content, const std::string&) const override {
        return std::make_unique<Lz4Compressor>(next);
    }
    std::unique_ptr<Sink> decompressor(Sink& next) const override { return std::make_unique<Lz4Decompressor>(next); }
    void check_level(const std::string& level) const override { refuse_level(name(), level); }
};

} // namespace

const Compression& lz4_method() {
    static const Lz4 method;
    return method;
}

} // namespace walgd::codec
