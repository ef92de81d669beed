#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/chain.hpp"
#include "common/archive/wal/wal_source.hpp"
#include "common/base/blob_pool.hpp"

#include <memory>
#include <optional>
#include <string>

namespace walgd::archive {

/// A WAL file as it will be stored, in memory: what a retry sends again. Holds its share of the memory budget.
struct PackedWal {
    Blob bytes;
    MemoryBudget::Lease lease;
    std::string plain_sha256; ///< in hex; empty unless it was asked for
};

/// Packs WAL files into buffers that it keeps for the next ones. Lives on the I/O thread; the work is done on the CPU pool, by
/// two threads for one file while nothing else is being packed.
class WalPacker {
public:
    explicit WalPacker(Archive& archive) : archive_(archive) {}

    /// Files larger than this go out in pieces, so that memory does not grow with the segment size.
    static constexpr std::uint64_t whole_bytes_max = 32 << 20;

    /// Waits for memory, then reads the file once: compressed at `level` (as in Packing), encrypted, and hashed if `hash`.
    /// Error(corrupt) when it changes meanwhile. `source` must live until the await returns.
    awaitable<PackedWal> pack(const WalSource& source, std::string level, bool hash);
    /// Takes the buffer back for the next file.
    void recycle(Blob buffer);
    /// Files that are being packed.
    unsigned packing() const { return packing_; }
    /// Files that were packed, or begun.
    std::uint64_t packed() const { return packed_; }
    /// Gives the buffers kept for the next files back to the system.
    void rest();

private:
    Archive& archive_;
    unsigned packing_ = 0;
    std::uint64_t packed_ = 0;
    BlobPool buffers_{2}, frames_{8};
};

/// Packs a large file step by step.
class WalPieces {
public:
    static constexpr std::size_t piece_bytes = 8 << 20;
    /// What it holds at most, the piece that is under way included.
    static constexpr std::uint64_t memory_bytes = 3 * piece_bytes;

    WalPieces(const WalSource& source, const Packing& packing);

    /// The next piece, at least 5 MiB but for the last; nothing after it. On the CPU pool.
    std::optional<Blob> take();

private:
    struct End : codec::Sink {
        void write(ByteView bytes) override { pending.append(bytes); }
        void finish() override {}
        Blob pending{piece_bytes + (1 << 20)};
    };
    const WalSource& source_;
    std::unique_ptr<End> end_ = std::make_unique<End>();
    PackChain chain_;
    std::uint64_t offset_ = 0;
    bool finished_ = false;
};

/// Waits for memory without holding up the I/O thread.
awaitable<MemoryBudget::Lease> lease_of(MemoryBudget& budget, std::uint64_t bytes);

} // namespace walgd::archive
