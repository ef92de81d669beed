#include "common/codec/methods.hpp"

#include <algorithm>
#include <limits>
#include <zlib.h>

namespace walgd::codec {

namespace {

/// Members of gzip, one after the other, as gzip itself reads them.
class GzipDecompressor final : public Sink {
public:
    explicit GzipDecompressor(Sink& next) : next_(next) {
        // 15: the largest window; 16: the gzip wrapper and no other.
        if (inflateInit2(&state_, 15 + 16) != Z_OK)
            throw Error(ErrorKind::failed, "cannot decompress with gzip: the decoder does not start");
    }
    GzipDecompressor(const GzipDecompressor&) = delete;
    ~GzipDecompressor() override { inflateEnd(&state_); }
    void write(ByteView bytes) override {
        while (!bytes.empty()) {
            const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), 1 << 30));
            inflate_piece(piece);
            bytes = bytes.subspan(piece.size());
        }
    }
    void finish() override {
        if (!ended_) refuse_cut("gzip");
        next_.finish();
    }

private:
    void inflate_piece(ByteView piece);

    Sink& next_;
    z_stream state_{};
    OutputBuffer buffer_;
    bool ended_ = false; // at the end of a member
};

void GzipDecompressor::inflate_piece(ByteView piece) {
    state_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(piece.data()));
    state_.avail_in = static_cast<uInt>(piece.size());
    bool full = false; // more output may wait although the input is used up
    while (state_.avail_in > 0 || full) {
        if (ended_) inflateReset(&state_);
        ended_ = false;
        state_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
        state_.avail_out = static_cast<uInt>(buffer_.size());
        const int result = inflate(&state_, Z_NO_FLUSH);
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            refuse_stream("gzip", state_.msg != nullptr ? state_.msg : "the library failed");
        const std::size_t made = buffer_.size() - state_.avail_out;
        if (made > 0) next_.write(buffer_.first(made));
        ended_ = result == Z_STREAM_END;
        full = !ended_ && state_.avail_out == 0;
    }
}

/// What WAL-E and old releases of WAL-G wrote.
class Gzip final : public Compression {
public:
    std::string_view name() const override { return "gzip"; }
    std::string_view suffix() const override { return "gz"; }
    bool writable() const override { return false; }
    std::unique_ptr<Sink> compressor(Sink&, Content, const std::string&) const override {
        throw Error(ErrorKind::misconfigured, "gzip objects are read, not made", "set WALG_COMPRESSION_METHOD to another method");
    }
    std::unique_ptr<Sink> decompressor(Sink& next) const override { return std::make_unique<GzipDecompressor>(next); }
    void check_level(const std::string& level) const override { refuse_level(name(), level); }
};

} // namespace

const Compression& gzip_method() {
    static const Gzip method;
    return method;
}

} // namespace walgd::codec
