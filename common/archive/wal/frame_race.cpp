#include "common/archive/wal/frame_race.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <sys/mman.h>

namespace walgd::archive {

using codec::frame_bound;
using codec::frame_bytes;

namespace {

std::uint64_t frames_of(std::uint64_t plain_bytes) {
    return std::max<std::uint64_t>(1, (plain_bytes + frame_bytes - 1) / frame_bytes);
}

/// Room for one frame, plain or packed.
class FrameMemory {
public:
    explicit FrameMemory(BlobPool& frames) : frames_(frames) {}
    FrameMemory(const FrameMemory&) = delete;
    ~FrameMemory() { frames_.keep(std::move(blob_)); }
    MutableBytes room() { return blob_.room(); }

private:
    BlobPool& frames_;
    Blob blob_ = frames_.take(frame_bound);
};

/// Memory that was used and is not needed any more; it stays ours, without pages.
void give_pages_back(MutableBytes unused) {
    constexpr std::uintptr_t page = 4096;
    const auto begin = (reinterpret_cast<std::uintptr_t>(unused.data()) + page - 1) / page * page;
    const auto end = reinterpret_cast<std::uintptr_t>(unused.data() + unused.size()) / page * page;
    if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

} // namespace

/// What one thread needs.
struct FrameRace::Tools {
    explicit Tools(const FrameRace& race)
        : compressor(race.compression_.frame_compressor(codec::Content::wal, race.level_)), plain(race.frames_) {}
    std::unique_ptr<codec::FrameCompressor> compressor;
    FrameMemory plain;
};

FrameRace::FrameRace(const WalSource& source, const codec::Compression& compression, std::string level, MutableBytes buffer,
                     BlobPool& frames)
    : source_(source), compression_(compression), level_(std::move(level)), buffer_(buffer), frames_(frames),
      back_(frames_of(source.bytes())) {}

std::uint64_t FrameRace::room_for(std::uint64_t plain_bytes) { return frames_of(plain_bytes) * frame_bound; }

std::optional<std::uint64_t> FrameRace::take(bool from_front) {
    const std::lock_guard lock(mutex_);
    if (failure_ || front_ == back_) return std::nullopt;
    return from_front ? front_++ : --back_;
}

ByteView FrameRace::read(std::uint64_t frame, Tools& tools) const {
    const auto offset = frame * frame_bytes;
    const auto wanted =
        tools.plain.room().first(static_cast<std::size_t>(std::min<std::uint64_t>(frame_bytes, source_.bytes() - offset)));
    if (source_.read(wanted, offset) != wanted.size()) source_.check_unchanged();
    return wanted;
}

std::size_t FrameRace::run() {
    std::size_t bytes = 0;
    std::exception_ptr failure;
    try {
        Tools tools(*this);
        while (const auto frame = take(true)) bytes += tools.compressor->compress(read(*frame, tools), buffer_.subspan(bytes));
    } catch (...) {
        failure = std::current_exception();
    }
    std::unique_lock lock(mutex_);
    if (failure && !failure_) failure_ = failure;
    front_ = back_; // a helper that comes now finds nothing
    helper_left_.wait(lock, [this] { return !helping_; });
    if (failure_) std::rethrow_exception(failure_);
    std::memmove(buffer_.data() + bytes, buffer_.data() + buffer_.size() - helped_bytes_, helped_bytes_);
    bytes += helped_bytes_;
    give_pages_back(buffer_.last(std::min(buffer_.size() - bytes, helped_bytes_)));
    return bytes;
}

void FrameRace::help() {
    {
        const std::lock_guard lock(mutex_);
        if (front_ == back_) return;
        helping_ = true;
    }
    std::exception_ptr failure;
    try {
        source_.wait_for_tick();
        Tools tools(*this);
        FrameMemory memory(frames_);
        const auto packed = memory.room();
        while (const auto frame = take(false)) {
            const auto count = tools.compressor->compress(read(*frame, tools), packed);
            helped_bytes_ += count;
            std::memcpy(buffer_.data() + buffer_.size() - helped_bytes_, packed.data(), count);
        }
    } catch (...) {
        failure = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    if (failure && !failure_) failure_ = failure;
    helping_ = false;
    helper_left_.notify_one();
}

} // namespace walgd::archive
