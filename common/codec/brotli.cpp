#include "common/base/handles.hpp"
#include "common/codec/methods.hpp"

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <fmt/format.h>

namespace walgd::codec {

namespace {

using Encoder = std::unique_ptr<BrotliEncoderState, FreeWith<&BrotliEncoderDestroyInstance>>;
using Decoder = std::unique_ptr<BrotliDecoderState, FreeWith<&BrotliDecoderDestroyInstance>>;

ByteView view(const std::uint8_t* data, std::size_t size) { return std::as_bytes(std::span(data, size)); }

/// The output is handed on from the library's own memory: its ring buffer, at most a window.
class BrotliCompressor final : public Sink {
public:
    explicit BrotliCompressor(Sink& next) : next_(next), encoder_(BrotliEncoderCreateInstance(nullptr, nullptr, nullptr)) {
        if (!encoder_) throw Error(ErrorKind::failed, "cannot compress with brotli: out of memory");
        BrotliEncoderSetParameter(encoder_.get(), BROTLI_PARAM_QUALITY, 3);
        BrotliEncoderSetParameter(encoder_.get(), BROTLI_PARAM_LGWIN, 22);
    }
    void write(ByteView bytes) override { pump(bytes, BROTLI_OPERATION_PROCESS); }
    void finish() override {
        pump({}, BROTLI_OPERATION_FINISH);
        next_.finish();
    }

private:
    void pump(ByteView bytes, BrotliEncoderOperation operation);

    Sink& next_;
    Encoder encoder_;
};

void BrotliCompressor::pump(ByteView bytes, BrotliEncoderOperation operation) {
    const auto* in = reinterpret_cast<const std::uint8_t*>(bytes.data());
    std::size_t left = bytes.size();
    do {
        std::size_t room = 0;
        if (!BrotliEncoderCompressStream(encoder_.get(), operation, &left, &in, &room, nullptr, nullptr))
            throw Error(ErrorKind::failed, "cannot compress with brotli: the library failed");
        std::size_t made = 0;
        const std::uint8_t* out = BrotliEncoderTakeOutput(encoder_.get(), &made);
        if (made > 0) next_.write(view(out, made));
    } while (left > 0 || BrotliEncoderHasMoreOutput(encoder_.get()) ||
             (operation == BROTLI_OPERATION_FINISH && !BrotliEncoderIsFinished(encoder_.get())));
}

class BrotliDecompressor final : public Sink {
public:
    explicit BrotliDecompressor(Sink& next) : next_(next), decoder_(BrotliDecoderCreateInstance(nullptr, nullptr, nullptr)) {
        if (!decoder_) throw Error(ErrorKind::failed, "cannot decompress with brotli: out of memory");
    }
    void write(ByteView bytes) override;
    void finish() override {
        if (!BrotliDecoderIsFinished(decoder_.get())) refuse_cut("brotli");
        next_.finish();
    }

private:
    Sink& next_;
    Decoder decoder_;
};

void BrotliDecompressor::write(ByteView bytes) {
    const auto* in = reinterpret_cast<const std::uint8_t*>(bytes.data());
    std::size_t left = bytes.size();
    // The decoder says success for ever once it is done, whatever it is given.
    if (left > 0 && BrotliDecoderIsFinished(decoder_.get())) refuse_trailing("brotli");
    auto result = BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT;
    while (result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT) {
        std::size_t room = 0;
        result = BrotliDecoderDecompressStream(decoder_.get(), &left, &in, &room, nullptr, nullptr);
        if (result == BROTLI_DECODER_RESULT_ERROR)
            refuse_stream("brotli", BrotliDecoderErrorString(BrotliDecoderGetErrorCode(decoder_.get())));
        std::size_t made = 0;
        const std::uint8_t* out = BrotliDecoderTakeOutput(decoder_.get(), &made);
        if (made > 0) next_.write(view(out, made));
    }
    if (left > 0) refuse_trailing("brotli");
}

class Brotli final : public Compression {
public:
    std::string_view name() const override { return "brotli"; }
    std::string_view suffix() const override { return "br"; }
    std::unique_ptr<Sink> compressor(Sink& next, Content, const std::string&) const override {
        return std::make_unique<BrotliCompressor>(next);
    }
    std::unique_ptr<Sink> decompressor(Sink& next) const override { return std::make_unique<BrotliDecompressor>(next); }
    void check_level(const std::string& level) const override { refuse_level(name(), level); }
};

} // namespace

const Compression& brotli_method() {
    static const Brotli method;
    return method;
}

} // namespace walgd::codec
