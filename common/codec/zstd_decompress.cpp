#include "common/base/helper_threads.hpp"
#include "common/base/little_endian.hpp"
#include "common/codec/context_pool.hpp"
#include "common/codec/frame_table.hpp"
#include "common/codec/methods.hpp"
#include "common/codec/zstd_support.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <fmt/format.h>
#include <optional>
#include <utility>
#include <vector>
#include <zstd.h>
#include <zstd_errors.h>

namespace walgd::codec {

namespace {

using DecompressContexts = ContextPool<ZSTD_DCtx, &ZSTD_freeDCtx>;

// 512 MiB, as WAL-G's reader takes it.
constexpr int window_log_max = 29;
/// Of a frame's head, with a window, a dictionary and the size of its content.
constexpr std::size_t frame_head_bytes_max = 18;
constexpr std::size_t magic_bytes = 4, skippable_head_bytes = 8;
constexpr std::uint32_t skippable_magic = 0x184D2A50, skippable_mask = 0xFFFFFFF0;

DecompressContexts& decompress_contexts() {
    static DecompressContexts pool(zstd_contexts_kept_max);
    return pool;
}

DecompressContexts::Handle prepared_context() {
    auto context = decompress_contexts().take(ZSTD_createDCtx);
    if (!context) throw Error(ErrorKind::failed, "cannot decompress with zstd: out of memory");
    zstd_checked(ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_and_parameters), "start");
    return context;
}

void give_back(DecompressContexts::Handle context) {
    if (ZSTD_sizeof_DCtx(context.get()) <= zstd_context_bytes_kept_max) decompress_contexts().keep(std::move(context));
}

[[noreturn]] void refuse_frame(std::size_t result) {
    if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) zstd_checked(result, "decompress");
    refuse_stream("zstd", ZSTD_getErrorName(result));
}

/// A frame in one call: what comes out is itself the window. Returns how much that is.
/// `into`: where the frame tells its size, no more than that, as the library may use all that it is given.
std::size_t decode_frame(ZSTD_DCtx& context, ByteView frame, MutableBytes into) {
    const auto count = ZSTD_decompressDCtx(&context, into.data(), into.size(), frame.data(), frame.size());
    if (ZSTD_isError(count)) refuse_frame(count);
    return count;
}

/// What a frame's head says.
struct FrameHead {
    bool has_checksum, single_segment;
    unsigned dictionary_code, size_code;
    explicit FrameHead(ByteView head) {
        const auto descriptor = std::to_integer<unsigned>(head[magic_bytes]);
        has_checksum = (descriptor & 0x04) != 0;
        single_segment = (descriptor & 0x20) != 0;
        dictionary_code = descriptor & 3;
        size_code = descriptor >> 6;
    }
};

/// Finds a frame's end without decoding it (RFC 8878, 3.1.1).
class FrameWalk {
public:
    /// `head`: the frame's first frame_head_bytes_max bytes, or more.
    explicit FrameWalk(ByteView head) {
        static constexpr std::uint8_t dictionary_bytes[] = {0, 1, 2, 4}, size_bytes[] = {0, 2, 4, 8};
        const FrameHead says(head);
        checksum_bytes_ = says.has_checksum ? 4 : 0;
        left_ = magic_bytes + 1 + (says.single_segment ? 0 : 1) + dictionary_bytes[says.dictionary_code];
        left_ += says.size_code == 0 && says.single_segment ? 1 : size_bytes[says.size_code];
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

/// The frames so far, to be compared with the table at the object's end: in walgd's parts that takes the place of a checksum in
/// each frame.
class SeenFrames {
public:
    void add_passed() { add(std::nullopt); }
    void add(std::optional<ContentHash> hash) {
        any_hash_ |= hash.has_value();
        if (hashes_.size() < count_max) hashes_.push_back(hash);
    }
    /// What their table has, where the skippable frame with that head can be it; else 0.
    std::uint64_t table_bytes(ByteView head) const {
        if (!any_hash_ || hashes_.size() == count_max || number_at<std::uint32_t>(head, 0) != frame_table_magic) return 0;
        const auto bytes = skippable_head_bytes + std::uint64_t{number_at<std::uint32_t>(head, magic_bytes)};
        return bytes == frame_table_bytes_of(hashes_.size()) ? bytes : 0;
    }
    /// Behind it another object may begin.
    void compare(ByteView table) {
        if (frame_table_bytes(table) != table.size()) return; // somebody else's
        const auto frames = parse_frame_table(table);
        if (!frames) refuse_stream("zstd", "the table of its frames is damaged");
        for (std::size_t i = 0; i < hashes_.size(); ++i)
            if (hashes_[i] && *hashes_[i] != (*frames)[i].hash)
                refuse_stream("zstd", fmt::format("frame {} is not what the table of its frames says", i));
        *this = {};
    }

private:
    /// More than the largest object of any storage has, so that what is kept of one is bounded.
    static constexpr std::size_t count_max = 1 << 23;

    std::vector<std::optional<ContentHash>> hashes_;
    bool any_hash_ = false;
};

/// A frame that is decoded before it is needed.
struct FrameAhead {
    explicit FrameAhead(MemoryBudget::Lease memory) : lease(std::move(memory)), packed(frame_bound), plain(frame_bytes) {}

    MemoryBudget::Lease lease;
    Blob packed, plain;
    ContentHash hash{};

    void decode() {
        auto context = prepared_context();
        plain.clear();
        const auto content = ZSTD_getFrameContentSize(packed.data(), packed.size());
        plain.commit(decode_frame(*context, packed.view(), plain.room().first(static_cast<std::size_t>(content))));
        hash = content_hash(plain.view());
        give_back(std::move(context));
    }
};

/// walgd's frames of pages, of which is known that their content is small, and whose checksums are in a table, are decoded in one
/// call each, some of them ahead by helpers; others as a stream.
class ZstdDecompressor final : public Sink {
public:
    ZstdDecompressor(Sink& next, HelperThreads* helpers)
        : next_(next), helpers_(helpers), context_(prepared_context()), buffer_(frame_bytes) {
        zstd_checked(ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, window_log_max), "start");
        if (helpers_ != nullptr) user_.emplace(*helpers_);
    }
    ~ZstdDecompressor() override {
        for (const auto& coming : coming_)
            if (coming.task) helpers_->withdraw(coming.task);
        give_back(std::move(context_));
    }
    void write(ByteView bytes) override;
    void finish() override;

private:
    enum class At {
        between,   ///< frames, or in the head of one; `held_` has what came of it
        streamed,  ///< a frame that is decoded as it comes
        passed,    ///< a frame in which nothing is needed
        collected, ///< a frame that is decoded as a whole; `held_` has what came before
        table,     ///< the frame that tells of the others, likewise
    };

    // Each takes some bytes off the front.
    ByteView take_head(ByteView bytes);
    ByteView stream(ByteView bytes);
    ByteView pass(ByteView bytes);
    ByteView collect(ByteView bytes);
    ByteView collect_table(ByteView bytes);

    /// A frame that was seen, and of which `next_` has not been told yet.
    struct Coming {
        std::uint64_t bytes;               ///< of its content
        std::shared_ptr<FrameAhead> frame; ///< null: nothing in it is needed
        HelperThreads::TaskPtr task;
    };

    void start(ByteView head);
    bool pass_frame(std::uint64_t content);
    void decode_whole(ByteView frame);
    bool decode_ahead(ByteView frame);
    std::shared_ptr<FrameAhead> memory_for_ahead();
    void add_coming(Coming coming);
    void hand_on_first();
    void hand_on_all();
    void hand_on(ByteView plain, const ContentHash& hash);

    Sink& next_;
    HelperThreads* helpers_;
    std::optional<HelperThreads::User> user_;
    DecompressContexts::Handle context_;
    OutputBuffer buffer_;
    std::deque<Coming> coming_;
    std::uint64_t coming_bytes_ = 0;
    std::vector<std::shared_ptr<FrameAhead>> idle_;
    At at_ = At::between;
    Blob held_;
    std::optional<FrameWalk> walk_;
    SeenFrames seen_;
    std::uint64_t table_bytes_ = 0;
};

void ZstdDecompressor::write(ByteView bytes) {
    while (!bytes.empty()) {
        switch (at_) {
        case At::between:
            bytes = take_head(bytes);
            break;
        case At::streamed:
            bytes = stream(bytes);
            break;
        case At::passed:
            bytes = pass(bytes);
            break;
        case At::collected:
            bytes = collect(bytes);
            break;
        case At::table:
            bytes = collect_table(bytes);
            break;
        }
    }
}

ByteView ZstdDecompressor::take_head(ByteView bytes) {
    if (held_.empty() && bytes.size() >= frame_head_bytes_max) {
        start(bytes);
        return bytes;
    }
    const auto piece = bytes.first(std::min(bytes.size(), frame_head_bytes_max - held_.size()));
    held_.append(piece);
    if (held_.size() == frame_head_bytes_max) {
        const auto head = std::exchange(held_, {});
        start(head.view());
        write(head.view());
    }
    return bytes.subspan(piece.size());
}

/// Decides what becomes of the frame that begins with `head`.
void ZstdDecompressor::start(ByteView head) {
    const auto magic = number_at<std::uint32_t>(head, 0);
    if ((magic & skippable_mask) == skippable_magic) {
        hand_on_all();
        table_bytes_ = seen_.table_bytes(head);
        at_ = table_bytes_ > 0 ? At::table : At::streamed;
        return;
    }
    // A size that is not known is a very large number. Older formats have other magics, and sizes that bind nobody.
    const auto content = magic == ZSTD_MAGICNUMBER ? ZSTD_getFrameContentSize(head.data(), head.size()) : ZSTD_CONTENTSIZE_ERROR;
    if (content < ZSTD_CONTENTSIZE_ERROR && content > 0 && pass_frame(content)) {
        at_ = At::passed;
    } else if (content <= frame_bytes && !FrameHead(head).has_checksum) {
        at_ = At::collected;
    } else {
        hand_on_all();
        seen_.add_passed();
        at_ = At::streamed;
        return;
    }
    walk_.emplace(head);
}

bool ZstdDecompressor::pass_frame(std::uint64_t content) {
    if (!next_.can_skip(coming_bytes_, content)) return false;
    add_coming({content, nullptr, nullptr});
    if (coming_.size() == 1) hand_on_first();
    return true;
}

/// Up to the frame's end.
ByteView ZstdDecompressor::stream(ByteView bytes) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    std::size_t missing = 0;
    bool full = false; // more output may wait in the context although the input is used up
    do {
        ZSTD_outBuffer out{buffer_.data(), output_bytes, 0};
        missing = ZSTD_decompressStream(context_.get(), &out, &in);
        if (ZSTD_isError(missing)) refuse_frame(missing);
        if (out.pos > 0) next_.write(buffer_.first(out.pos));
        full = missing != 0 && out.pos == out.size;
    } while (missing != 0 && (in.pos < in.size || full));
    at_ = missing == 0 ? At::between : At::streamed;
    return bytes.subspan(in.pos);
}

ByteView ZstdDecompressor::pass(ByteView bytes) {
    const auto rest = walk_->pass(bytes);
    if (walk_->at_end()) at_ = At::between;
    return rest;
}

ByteView ZstdDecompressor::collect(ByteView bytes) {
    const auto rest = walk_->pass(bytes);
    const auto piece = bytes.first(bytes.size() - rest.size());
    if (held_.size() + piece.size() > frame_bound) { // as no compressor makes it of so little
        const auto begun = std::exchange(held_, {});
        hand_on_all();
        seen_.add_passed();
        at_ = At::streamed;
        write(begun.view());
        return bytes;
    }
    const bool is_whole = walk_->at_end(), is_one_piece = is_whole && held_.empty();
    if (!is_one_piece) {
        if (held_.capacity() < frame_bound) held_ = Blob(frame_bound);
        held_.append(piece);
    }
    if (is_whole) {
        decode_whole(is_one_piece ? piece : held_.view());
        held_.clear();
        at_ = At::between;
    }
    return rest;
}

void ZstdDecompressor::decode_whole(ByteView frame) {
    if (decode_ahead(frame)) return;
    hand_on_all();
    const auto content = static_cast<std::size_t>(ZSTD_getFrameContentSize(frame.data(), frame.size()));
    const auto plain = buffer_.first(decode_frame(*context_, frame, {buffer_.data(), content}));
    hand_on(plain, content_hash(plain));
}

/// False where it had better be decoded here.
bool ZstdDecompressor::decode_ahead(ByteView frame) {
    if (helpers_ == nullptr) return false;
    if (!helpers_->are_free()) {
        idle_.clear();
        return false;
    }
    const auto ahead = memory_for_ahead();
    if (!ahead) return false;
    ahead->packed.clear();
    ahead->packed.append(frame);
    const auto task = std::make_shared<HelperThreads::Task>([ahead] { ahead->decode(); });
    helpers_->add(task);
    add_coming({ZSTD_getFrameContentSize(frame.data(), frame.size()), ahead, task});
    return true;
}

std::shared_ptr<FrameAhead> ZstdDecompressor::memory_for_ahead() {
    if (idle_.empty()) {
        // What reads from the storage needs some too.
        auto& budget = helpers_->budget();
        if (budget.used() > budget.total() / 2) return nullptr;
        auto lease = budget.try_acquire(frame_bound + frame_bytes);
        return lease ? std::make_shared<FrameAhead>(std::move(*lease)) : nullptr;
    }
    auto ahead = std::move(idle_.back());
    idle_.pop_back();
    return ahead;
}

void ZstdDecompressor::add_coming(Coming coming) {
    // One is decoded, one is being, and one waits.
    static constexpr std::size_t count_max = 3;
    coming_bytes_ += coming.bytes;
    coming_.push_back(std::move(coming));
    while (coming_.size() > count_max) hand_on_first();
}

void ZstdDecompressor::hand_on_first() {
    const auto first = std::move(coming_.front());
    coming_.pop_front();
    coming_bytes_ -= first.bytes;
    if (!first.frame || (next_.can_skip(0, first.bytes) && helpers_->withdraw(first.task))) {
        next_.skip(first.bytes);
        seen_.add_passed();
    } else {
        std::vector<HelperThreads::TaskPtr> others;
        for (const auto& coming : coming_)
            if (coming.task) others.push_back(coming.task);
        helpers_->finish(first.task, others);
        hand_on(first.frame->plain.view(), first.frame->hash);
    }
    if (first.frame) idle_.push_back(first.frame);
}

void ZstdDecompressor::hand_on_all() {
    while (!coming_.empty()) hand_on_first();
}

void ZstdDecompressor::hand_on(ByteView plain, const ContentHash& hash) {
    seen_.add(hash);
    // In pieces that a kernel copies to a file at its best.
    for (; !plain.empty(); plain = plain.subspan(std::min(plain.size(), output_bytes)))
        next_.write(plain.first(std::min(plain.size(), output_bytes)));
}

ByteView ZstdDecompressor::collect_table(ByteView bytes) {
    const auto piece = bytes.first(std::min<std::uint64_t>(bytes.size(), table_bytes_ - held_.size()));
    held_.append(piece);
    if (held_.size() == table_bytes_) {
        seen_.compare(held_.view());
        held_.clear();
        at_ = At::between;
    }
    return bytes.subspan(piece.size());
}

void ZstdDecompressor::finish() {
    hand_on_all();
    // The last frames may be shorter than a frame's head can be. An object without any byte, which WAL-G wrote for empty content
    // once, has none.
    if (at_ == At::between) {
        for (auto rest = held_.view(); !rest.empty();) rest = stream(rest);
    }
    if (at_ != At::between) refuse_cut("zstd");
    next_.finish();
}

} // namespace

std::unique_ptr<Sink> zstd_decompressor(Sink& next, HelperThreads* helpers) {
    return std::make_unique<ZstdDecompressor>(next, helpers);
}

std::size_t zstd_checked(std::size_t result, const char* action) {
    if (ZSTD_isError(result))
        throw Error(ErrorKind::failed, fmt::format("cannot {} with zstd: {}", action, ZSTD_getErrorName(result)));
    return result;
}

std::size_t zstd_decompress(ByteView object, MutableBytes into, const MayFill& may_fill) {
    auto context = prepared_context();
    SeenFrames seen;
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
        const auto frame = object.first(packed);
        const auto count = decode_frame(*context, frame, room);
        object = object.subspan(packed);
        if (number_at<std::uint32_t>(frame, 0) != ZSTD_MAGICNUMBER) {
            if (seen.table_bytes(frame) > 0) seen.compare(frame);
        } else if (object.empty() || FrameHead(frame).has_checksum) {
            seen.add_passed(); // of one frame alone who has the table compares it
        } else {
            seen.add(content_hash(room.first(count)));
        }
        done += count;
    }
    give_back(std::move(context));
    return done;
}

} // namespace walgd::codec
