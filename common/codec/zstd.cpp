#include "common/base/number_text.hpp"
#include "common/codec/context_pool.hpp"
#include "common/codec/frame_table.hpp"
#include "common/codec/methods.hpp"

#include <array>
#include <fmt/format.h>
#include <optional>
#include <utility>
#include <vector>
#include <zstd.h>
#include <zstd_errors.h>

namespace walgd::codec {

namespace {

using CompressContexts = ContextPool<ZSTD_CCtx, &ZSTD_freeCCtx>;
using DecompressContexts = ContextPool<ZSTD_DCtx, &ZSTD_freeDCtx>;

static_assert(frame_bound >= ZSTD_COMPRESSBOUND(frame_bytes));
// A context that a large window made heavier than this is freed, not kept.
constexpr std::size_t kept_context_bytes_max = 16 << 20;
constexpr std::size_t kept_contexts_max = 8;
// 512 MiB, as WAL-G's reader takes it.
constexpr int window_log_max = 29;
// Levels 20 to 22 need windows, and so memory, beyond what a stage may have.
constexpr int level_max = 19;
/// Of a frame's head, with a window, a dictionary and the size of its content.
constexpr std::size_t frame_head_bytes_max = 18;

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

/// Our own parameters instead of a level of the library's.
constexpr int tuned = 0, tuned_fast = -1;

/// The library's level, or one of ours.
std::optional<int> level_number(const std::string& level) {
    static constexpr std::array<std::pair<std::string_view, int>, 6> named{
        {{"", tuned}, {"default", tuned}, {"tuned-fast", tuned_fast}, {"fastest", 1}, {"better", 7}, {"best", 11}}};
    for (const auto& [name, number] : named)
        if (level == name) return number;
    const auto number = whole_number<int>(level);
    return number && *number >= 1 && *number <= level_max ? number : std::nullopt;
}

int checked_level(const std::string& level) {
    if (const auto number = level_number(level)) return *number;
    throw Error(
        ErrorKind::misconfigured, fmt::format("\"{}\" is not a zstd level", level),
        fmt::format("WALG_ZSTD_LEVEL is fastest, default, better, best, tuned-fast, or a number from 1 to {}", level_max));
}

void set(ZSTD_CCtx* context, ZSTD_cParameter parameter, int value) {
    checked(ZSTD_CCtx_setParameter(context, parameter, value), "set a parameter");
}

CompressContexts::Handle prepared() {
    auto context = compress_contexts().take(ZSTD_createCCtx);
    if (!context) throw Error(ErrorKind::failed, "cannot compress with zstd: out of memory");
    checked(ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_and_parameters), "start");
    set(context.get(), ZSTD_c_checksumFlag, 1);
    return context;
}

CompressContexts::Handle prepared(int level) {
    auto context = prepared();
    set(context.get(), ZSTD_c_compressionLevel, level);
    return context;
}

/// A hash table that fits the first cache beats every level on WAL and on pages, in time and in size.
CompressContexts::Handle prepared(Content content, int level) {
    auto context = prepared();
    set(context.get(), ZSTD_c_strategy, ZSTD_fast);
    set(context.get(), ZSTD_c_windowLog, content == Content::wal ? 21 : 19);
    set(context.get(), ZSTD_c_hashLog, content == Content::wal ? 14 : 13);
    set(context.get(), ZSTD_c_minMatch, 5);
    if (level == tuned_fast) set(context.get(), ZSTD_c_targetLength, 1);
    return context;
}

void give_back(CompressContexts::Handle context) {
    if (context && ZSTD_sizeof_CCtx(context.get()) <= kept_context_bytes_max) compress_contexts().keep(std::move(context));
}

/// A level's compressor: one frame, with the window that the level has.
class ZstdCompressor final : public Sink {
public:
    ZstdCompressor(Sink& next, int level) : next_(next), context_(prepared(level)) {}
    ~ZstdCompressor() override { give_back(std::move(context_)); }
    void write(ByteView bytes) override { pump(bytes, ZSTD_e_continue); }
    void finish() override {
        pump({}, ZSTD_e_end);
        give_back(std::move(context_));
        next_.finish();
    }

private:
    /// Compresses `bytes`, until all is taken (`continue`) or flushed (`end`).
    void pump(ByteView bytes, ZSTD_EndDirective mode) {
        ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
        for (bool done = false; !done;) {
            ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
            const auto unflushed = checked(ZSTD_compressStream2(context_.get(), &out, &in, mode), "compress");
            if (out.pos > 0) next_.write(buffer_.first(out.pos));
            done = mode == ZSTD_e_end ? unflushed == 0 : in.pos == in.size;
        }
    }

    Sink& next_;
    CompressContexts::Handle context_;
    OutputBuffer buffer_;
};

/// The tuned compressor: a frame for every `frame_bytes`, each compressed in one call. A stream would copy the input into its
/// window and, once that wraps, search it in two halves: a third more time for half a percent of size. Every reader of zstd,
/// WAL-G's too, takes frames one after the other.
class ZstdFrames final : public FrameCompressor {
public:
    ZstdFrames(Content content, int level) : context_(prepared(content, level)) {}
    ~ZstdFrames() override { give_back(std::move(context_)); }
    std::size_t compress(ByteView plain, MutableBytes into) override {
        return checked(ZSTD_compress2(context_.get(), into.data(), into.size(), plain.data(), plain.size()), "compress");
    }

private:
    CompressContexts::Handle context_;
};

/// The same as a stage. Behind pages, of which a part may be wanted or be there already, comes a table of the frames.
class FrameStage final : public Sink {
public:
    FrameStage(Sink& next, Content content, int level)
        : next_(next), content_(content), frames_(content, level), buffer_(frame_bound) {}
    void write(ByteView bytes) override {
        while (!bytes.empty()) {
            if (pending_.empty() && bytes.size() >= frame_bytes) {
                compress(bytes.first(frame_bytes));
                bytes = bytes.subspan(frame_bytes);
                continue;
            }
            if (pending_.capacity() == 0) pending_ = Blob(frame_bytes);
            const auto part = bytes.first(std::min(bytes.size(), pending_.room().size()));
            pending_.append(part);
            bytes = bytes.subspan(part.size());
            if (pending_.room().empty()) compress_pending();
        }
    }
    void finish() override {
        if (!pending_.empty() || !any_) compress_pending();
        if (table_.size() > 1) next_.write(bytes_of(compose_frame_table(table_)));
        next_.finish();
    }

private:
    void compress_pending() {
        compress(pending_.view());
        pending_.clear();
    }
    void compress(ByteView frame) {
        const auto packed = frames_.compress(frame, {buffer_.data(), buffer_.size()});
        next_.write(buffer_.first(packed));
        if (content_ == Content::pages)
            table_.push_back({static_cast<std::uint32_t>(packed), static_cast<std::uint32_t>(frame.size()), content_hash(frame)});
        any_ = true;
    }

    Sink& next_;
    Content content_;
    ZstdFrames frames_;
    OutputBuffer buffer_;
    Blob pending_;
    std::vector<Frame> table_;
    bool any_ = false;
};

/// Goes through a frame without decoding it (RFC 8878, 3.1.1).
class PassedFrame {
public:
    /// `head`: the frame's first frame_head_bytes_max bytes, or more.
    explicit PassedFrame(ByteView head) {
        static constexpr std::uint8_t dictionary_bytes[] = {0, 1, 2, 4}, size_bytes[] = {0, 2, 4, 8};
        const auto descriptor = std::to_integer<unsigned>(head[magic_bytes]);
        const bool single_segment = (descriptor & 0x20) != 0;
        checksum_bytes_ = (descriptor & 0x04) != 0 ? 4 : 0;
        left_ = magic_bytes + 1 + (single_segment ? 0 : 1) + dictionary_bytes[descriptor & 3];
        left_ += descriptor >> 6 == 0 && single_segment ? 1 : size_bytes[descriptor >> 6];
    }
    /// Takes the frame's bytes off the front.
    ByteView pass(ByteView bytes) {
        while (!bytes.empty() && !at_end()) {
            const auto count = std::min<std::size_t>(bytes.size(), left_ > 0 ? left_ : block_.size() - block_used_);
            if (left_ > 0) {
                left_ -= count;
            } else {
                std::ranges::copy(bytes.first(count), block_.begin() + static_cast<std::ptrdiff_t>(block_used_));
                block_used_ += count;
                if (block_used_ == block_.size()) read_block_head();
            }
            bytes = bytes.subspan(count);
        }
        return bytes;
    }
    bool at_end() const { return last_ && left_ == 0; }

private:
    static constexpr std::size_t magic_bytes = 4;
    enum BlockType { raw, run, compressed, reserved };

    void read_block_head() {
        const auto head = std::to_integer<std::uint32_t>(block_[0]) | std::to_integer<std::uint32_t>(block_[1]) << 8 |
                          std::to_integer<std::uint32_t>(block_[2]) << 16;
        const auto type = static_cast<BlockType>(head >> 1 & 3);
        if (type == reserved) refuse_stream("zstd", "a block of a reserved type");
        block_used_ = 0;
        last_ = (head & 1) != 0;
        left_ = (type == run ? 1 : head >> 3) + (last_ ? checksum_bytes_ : 0);
    }

    std::array<std::byte, 3> block_{};
    std::size_t block_used_ = 0, left_ = 0, checksum_bytes_ = 0;
    bool last_ = false;
};

class ZstdDecompressor final : public Sink {
public:
    explicit ZstdDecompressor(Sink& next) : next_(next), context_(decompress_contexts().take(ZSTD_createDCtx)) {
        if (!context_) throw Error(ErrorKind::failed, "cannot decompress with zstd: out of memory");
        checked(ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_and_parameters), "start");
        checked(ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, window_log_max), "start");
    }
    ~ZstdDecompressor() override {
        if (ZSTD_sizeof_DCtx(context_.get()) <= kept_context_bytes_max) decompress_contexts().keep(std::move(context_));
    }
    void write(ByteView bytes) override;
    void finish() override {
        if (missing_ != 0 || passed_) refuse_cut("zstd");
        next_.finish();
    }

private:
    bool pass(ByteView bytes);
    ByteView decode(ByteView bytes);

    Sink& next_;
    DecompressContexts::Handle context_;
    OutputBuffer buffer_;
    // What the library still wants of the current frame: 0 between frames, and so for an object without any byte, which
    // WAL-G wrote for empty content once.
    std::size_t missing_ = 0;
    std::optional<PassedFrame> passed_;
};

void ZstdDecompressor::write(ByteView bytes) {
    while (!bytes.empty()) {
        if (!passed_ && (missing_ != 0 || !pass(bytes))) {
            bytes = decode(bytes);
            continue;
        }
        bytes = passed_->pass(bytes);
        if (passed_->at_end()) passed_.reset();
    }
}

/// True when nobody needs what is in the frame that begins here. Of a frame whose head came in pieces that is not asked.
bool ZstdDecompressor::pass(ByteView bytes) {
    if (bytes.size() < frame_head_bytes_max) return false;
    // 0 also of a skippable frame.
    const auto content = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
    if (content == ZSTD_CONTENTSIZE_UNKNOWN || content == ZSTD_CONTENTSIZE_ERROR || content == 0 || !next_.can_skip(content))
        return false;
    passed_.emplace(bytes);
    next_.skip(content);
    return true;
}

/// Up to the frame's end.
ByteView ZstdDecompressor::decode(ByteView bytes) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    bool full = false; // more output may wait in the context although the input is used up
    do {
        ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
        missing_ = ZSTD_decompressStream(context_.get(), &out, &in);
        if (ZSTD_isError(missing_)) {
            if (ZSTD_getErrorCode(missing_) == ZSTD_error_memory_allocation) checked(missing_, "decompress");
            refuse_stream("zstd", ZSTD_getErrorName(missing_));
        }
        if (out.pos > 0) next_.write(buffer_.first(out.pos));
        full = missing_ != 0 && out.pos == out.size;
    } while (missing_ != 0 && (in.pos < in.size || full));
    return bytes.subspan(in.pos);
}

class Zstd final : public Compression {
public:
    std::string_view name() const override { return "zstd"; }
    std::string_view suffix() const override { return "zst"; }
    std::unique_ptr<Sink> compressor(Sink& next, Content content, const std::string& level) const override {
        const int number = checked_level(level);
        if (number <= tuned) return std::make_unique<FrameStage>(next, content, number);
        return std::make_unique<ZstdCompressor>(next, number);
    }
    std::unique_ptr<FrameCompressor> frame_compressor(Content content, const std::string& level) const override {
        const int number = checked_level(level);
        return number <= tuned ? std::make_unique<ZstdFrames>(content, number) : nullptr;
    }
    std::unique_ptr<Sink> decompressor(Sink& next) const override { return std::make_unique<ZstdDecompressor>(next); }
    std::size_t decompress(ByteView object, MutableBytes into, const MayFill& may_fill) const override;
    void check_level(const std::string& level) const override { checked_level(level); }
};

/// Frame by frame, each in one call: what came out is itself the window.
std::size_t Zstd::decompress(ByteView object, MutableBytes into, const MayFill& may_fill) const {
    auto context = decompress_contexts().take(ZSTD_createDCtx);
    if (!context) throw Error(ErrorKind::failed, "cannot decompress with zstd: out of memory");
    checked(ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_and_parameters), "start");
    std::size_t done = 0;
    while (!object.empty()) {
        const auto packed = ZSTD_findFrameCompressedSize(object.data(), object.size());
        if (ZSTD_isError(packed)) refuse_stream("zstd", ZSTD_getErrorName(packed));
        // An unknown size is a very large number. With a known one the library gets no byte more: it may use whatever it is
        // given.
        auto room = into.subspan(done);
        const auto bytes = ZSTD_getFrameContentSize(object.data(), object.size());
        if (bytes <= room.size()) room = room.first(static_cast<std::size_t>(bytes));
        if (may_fill) may_fill(done + room.size());
        const auto count = ZSTD_decompressDCtx(context.get(), room.data(), room.size(), object.data(), packed);
        if (ZSTD_isError(count)) refuse_stream("zstd", ZSTD_getErrorName(count));
        done += count;
        object = object.subspan(packed);
    }
    if (ZSTD_sizeof_DCtx(context.get()) <= kept_context_bytes_max) decompress_contexts().keep(std::move(context));
    return done;
}

} // namespace

const Compression& zstd_method() {
    static const Zstd method;
    return method;
}

} // namespace walgd::codec
