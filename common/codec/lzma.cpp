#include "common/codec/methods.hpp"

#include <fmt/format.h>
#include <lzma.h>

namespace walgd::codec {

namespace {

// The header names the dictionary, up to 4 GiB; what any preset of xz writes needs at most 64 MiB.
constexpr std::uint64_t decoder_memory_max = 600 << 20;

/// A stream of the library with its buffer.
class Stream {
public:
    Stream() = default;
    Stream(const Stream&) = delete;
    ~Stream() { lzma_end(&state); }

    /// Runs the coder until `bytes` are used up, or the end of the stream (`finishing`: only until then).
    lzma_ret pump(ByteView bytes, lzma_action action, Sink& next);
    std::size_t unused() const { return state.avail_in; }

    lzma_stream state = LZMA_STREAM_INIT;

private:
    OutputBuffer buffer_;
};

lzma_ret Stream::pump(ByteView bytes, lzma_action action, Sink& next) {
    state.next_in = reinterpret_cast<const std::uint8_t*>(bytes.data());
    state.avail_in = bytes.size();
    for (;;) {
        state.next_out = reinterpret_cast<std::uint8_t*>(buffer_.data());
        state.avail_out = buffer_.size();
        const lzma_ret result = lzma_code(&state, action);
        const std::size_t made = buffer_.size() - state.avail_out;
        if (made > 0) next.write(buffer_.first(made));
        if (result != LZMA_OK) return result;
        if (action == LZMA_RUN && state.avail_in == 0 && state.avail_out > 0) return LZMA_OK;
    }
}

std::string_view cause_of(lzma_ret result) {
    switch (result) {
    case LZMA_FORMAT_ERROR:
        return "this is not an .lzma (\"LZMA alone\") stream";
    case LZMA_MEMLIMIT_ERROR:
        return "its dictionary is larger than this program takes";
    case LZMA_DATA_ERROR:
        return "it is damaged";
    default:
        return "the library failed";
    }
}

/// 5d 00 00 80 00, then size unknown: lc 3, lp 0, pb 2, dictionary of 8 MiB, with an end marker.
class LzmaCompressor final : public Sink {
public:
    explicit LzmaCompressor(Sink& next) : next_(next) {
        lzma_options_lzma options{};
        // The fast match finder: the better ones make a segment cost seconds.
        lzma_lzma_preset(&options, 1);
        options.dict_size = 8 << 20;
        if (lzma_alone_encoder(&stream_.state, &options) != LZMA_OK)
            throw Error(ErrorKind::failed, "cannot compress with lzma: the encoder does not start");
    }
    void write(ByteView bytes) override {
        if (!bytes.empty()) require(stream_.pump(bytes, LZMA_RUN, next_), LZMA_OK);
    }
    void finish() override {
        require(stream_.pump({}, LZMA_FINISH, next_), LZMA_STREAM_END);
        next_.finish();
    }

private:
    static void require(lzma_ret result, lzma_ret wanted) {
        if (result != wanted) throw Error(ErrorKind::failed, fmt::format("cannot compress with lzma: {}", cause_of(result)));
    }

    Sink& next_;
    Stream stream_;
};

class LzmaDecompressor final : public Sink {
public:
    explicit LzmaDecompressor(Sink& next) : next_(next) {
        if (lzma_alone_decoder(&stream_.state, decoder_memory_max) != LZMA_OK)
            throw Error(ErrorKind::failed, "cannot decompress with lzma: the decoder does not start");
    }
    void write(ByteView bytes) override {
        if (bytes.empty()) return;
        if (ended_) refuse_trailing("lzma");
        const lzma_ret result = stream_.pump(bytes, LZMA_RUN, next_);
        ended_ = result == LZMA_STREAM_END;
        if (result == LZMA_MEM_ERROR) throw Error(ErrorKind::failed, "cannot decompress with lzma: out of memory");
        if (result != LZMA_OK && !ended_) refuse_stream("lzma", cause_of(result));
        if (stream_.unused() > 0) refuse_trailing("lzma");
    }
    void finish() override {
        if (!ended_) refuse_cut("lzma");
        next_.finish();
    }

private:
    Sink& next_;
    Stream stream_;
    bool ended_ = false;
};

class Lzma final : public Compression {
public:
    std::string_view name() const override { return "lzma"; }
    std::string_view suffix() const override { return "lzma"; }
    std::unique_ptr<Sink> compressor(Sink& next, Content, const std::string&) const override {
        return std::make_unique<LzmaCompressor>(next);
    }
    std::unique_ptr<Sink> decompressor(Sink& next) const override { return std::make_unique<LzmaDecompressor>(next); }
    void check_level(const std::string& level) const override { refuse_level(name(), level); }
};

} // namespace

const Compression& lzma_method() {
    static const Lzma method;
    return method;
}

} // namespace walgd::codec
