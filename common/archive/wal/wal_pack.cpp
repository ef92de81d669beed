#include "common/archive/wal/wal_pack.hpp"

#include "common/archive/wal/frame_race.hpp"
#include "common/base/counted.hpp"
#include "common/base/sha256.hpp"
#include "common/codec/sink.hpp"

#include <algorithm>

namespace walgd::archive {

namespace {

constexpr std::size_t read_bytes = codec::frame_bytes;
/// A kept buffer has at most so many pages of its own; those of a file that did not compress go back to the system.
constexpr std::size_t resident_bytes_max = 4 << 20;

/// Worst case of a packed file: incompressible, with every codec's and cipher's framing.
std::uint64_t packed_bytes_max(std::uint64_t plain_bytes) {
    return std::max(plain_bytes + plain_bytes / 64 + (256 << 10), FrameRace::room_for(plain_bytes));
}

class BufferSink : public codec::Sink {
public:
    explicit BufferSink(Blob& buffer) : buffer_(buffer) {}
    void write(ByteView bytes) override { buffer_.append(bytes); }
    void finish() override {}

private:
    Blob& buffer_;
};

/// One stream, one thread: for every method and cipher.
void pack_as_stream(const WalSource& source, const Packing& packing, Blob& into, Sha256* hash) {
    BufferSink end(into);
    PackChain chain(packing, codec::Content::wal, end);
    Blob chunk(read_bytes);
    for (std::uint64_t offset = 0; offset < source.bytes();) {
        const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(read_bytes, source.bytes() - offset));
        const auto count = source.read({chunk.data(), wanted}, offset);
        if (count < wanted) break; // check_unchanged() tells why
        if (hash != nullptr) hash->update({chunk.data(), count});
        chain.head().write({chunk.data(), count});
        offset += count;
    }
    chain.head().finish();
}

} // namespace

awaitable<MemoryBudget::Lease> lease_of(MemoryBudget& budget, std::uint64_t bytes) {
    if (bytes > budget.total()) budget.acquire(bytes); // throws, saying so
    const MemoryBudget::First first(budget, bytes);
    for (auto delay = std::chrono::milliseconds(1);; delay = std::min(2 * delay, std::chrono::milliseconds(50))) {
        auto lease = budget.try_acquire(bytes);
        if (lease) co_return std::move(*lease);
        co_await sleep_for(delay);
    }
}

void WalPacker::recycle(Blob buffer) {
    if (buffer.size() <= resident_bytes_max) buffers_.keep(std::move(buffer));
}

void WalPacker::rest() {
    buffers_.rest();
    frames_.rest();
}

awaitable<PackedWal> WalPacker::pack(const WalSource& source, std::string level, bool hash) {
    const auto bytes = packed_bytes_max(source.bytes());
    PackedWal packed;
    packed.lease = co_await lease_of(archive_.budget, bytes);
    packed.bytes = buffers_.take(static_cast<std::size_t>(bytes));
    const Counted counted(packing_);
    ++packed_;
    auto packing = archive_.packing;
    packing.level = std::move(level);
    const bool framed =
        !hash && packing.cipher == nullptr && packing.compression->frame_compressor(codec::Content::wal, packing.level);
    if (framed) {
        const MutableBytes buffer{packed.bytes.data(), packed.bytes.capacity()};
        const auto race = std::make_shared<FrameRace>(source, *packing.compression, packing.level, buffer, frames_);
        auto work = [this, &race, &source, alone = packing_ == 1] {
            // Called for from here: a push that is cancelled by now never comes here, and nobody would wait for the helper.
            if (alone) asio::post(archive_.cpu, [race] { race->help(); });
            const auto size = race->run();
            source.check_unchanged();
            return size;
        };
        const auto size = co_await run_on(archive_.cpu, std::move(work));
        packed.bytes.commit(size);
    } else {
        auto work = [&packed, &source, &packing, hash] {
            Sha256 sha256;
            pack_as_stream(source, packing, packed.bytes, hash ? &sha256 : nullptr);
            source.check_unchanged();
            if (!hash) return;
            const auto digest = sha256.digest();
            packed.plain_sha256 = to_hex(digest);
        };
        co_await run_on(archive_.cpu, std::move(work));
    }
    packed.lease.shrink(packed.bytes.size());
    co_return packed;
}

WalPieces::WalPieces(const WalSource& source, const Packing& packing)
    : source_(source), chain_(packing, codec::Content::wal, *end_) {}

std::optional<Blob> WalPieces::take() {
    Blob chunk(read_bytes);
    while (!finished_ && end_->pending.size() < piece_bytes) {
        const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(read_bytes, source_.bytes() - offset_));
        const auto count = source_.read({chunk.data(), wanted}, offset_);
        chain_.head().write({chunk.data(), count});
        offset_ += count;
        if (count == wanted && offset_ < source_.bytes()) continue;
        chain_.head().finish();
        source_.check_unchanged();
        finished_ = true;
    }
    if (end_->pending.empty()) return std::nullopt;
    return std::exchange(end_->pending, Blob(piece_bytes + (1 << 20)));
}

} // namespace walgd::archive
