#include "common/base/number_text.hpp"
#include "common/codec/context_pool.hpp"
#include "common/codec/frame_table.hpp"
#include "common/codec/methods.hpp"
#include "common/codec/zstd_support.hpp"

#include <array>
#include <fmt/format.h>
#include <optional>
#include <utility>
#include <vector>
#include <zstd.h>

namespace walgd::codec {

namespace {

using CompressContexts = ContextPool<ZSTD_CCtx, &ZSTD_freeCCtx>;

static_assert(frame_bound >= ZSTD_COMPRESSBOUND(frame_bytes));
// Levels 20 to 22 need windows, and so memory, beyond what a stage may have.
constexpr int level_max = 19;

CompressContexts& compress_contexts() {
    static CompressContexts pool(zstd_contexts_kept_max);
    return pool;
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
    zstd_checked(ZSTD_CCtx_setParameter(context, parameter, value), "set a parameter");
}

CompressContexts::Handle prepared() {
    auto context = compress_contexts().take(ZSTD_createCCtx);
    if (!context) throw Error(ErrorKind::failed, "cannot compress with zstd: out of memory");
    zstd_checked(ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_and_parameters), "start");
    return context;
}

CompressContexts::Handle prepared(int level) {
    auto context = prepared();
    set(context.get(), ZSTD_c_checksumFlag, 1);
    set(context.get(), ZSTD_c_compressionLevel, level);
    return context;
}

/// A hash table that fits the first cache beats every level on WAL and on pages, in time and in size. Pages have a table of
/// hashes behind them.
CompressContexts::Handle prepared(Content content, int level) {
    auto context = prepared();
    set(context.get(), ZSTD_c_checksumFlag, content == Content::wal ? 1 : 0);
    set(context.get(), ZSTD_c_strategy, ZSTD_fast);
    set(context.get(), ZSTD_c_windowLog, content == Content::wal ? 21 : 19);
    set(context.get(), ZSTD_c_hashLog, content == Content::wal ? 14 : 12);
    set(context.get(), ZSTD_c_minMatch, 5);
    if (level == tuned_fast) set(context.get(), ZSTD_c_targetLength, 1);
    return context;
}

void give_back(CompressContexts::Handle context) {
    if (context && ZSTD_sizeof_CCtx(context.get()) <= zstd_context_bytes_kept_max) compress_contexts().keep(std::move(context));
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
            const auto unflushed = zstd_checked(ZSTD_compressStream2(context_.get(), &out, &in, mode), "compress");
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
        return zstd_checked(ZSTD_compress2(context_.get(), into.data(), into.size(), plain.data(), plain.size()), "compress");
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
        if (!table_.empty()) next_.write(bytes_of(compose_frame_table(table_)));
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
    std::unique_ptr<Sink> decompressor(Sink& next) const override { return zstd_decompressor(next, nullptr); }
    std::unique_ptr<Sink> helped_decompressor(Sink& next, HelperThreads& helpers) const override {
        return zstd_decompressor(next, &helpers);
    }
    std::size_t decompress(ByteView object, MutableBytes into, const MayFill& may_fill) const override {
        return zstd_decompress(object, into, may_fill);
    }
    void check_level(const std::string& level) const override { checked_level(level); }
};

} // namespace

const Compression& zstd_method() {
    static const Zstd method;
    return method;
}

} // namespace walgd::codec
