#pragma once
#include "common/archive/archive.hpp"
#include "common/codec/sink.hpp"

#include <optional>
#include <stop_token>

namespace walgd::archive {

/// Where the bytes of one object go.
struct WriteTarget {
    storage::Storage& storage;
    asio::any_io_executor io;
    MemoryBudget& budget;
    std::uint64_t piece_bytes;
    std::stop_token stop;
};

/// So large are the pieces of an object of so many bytes: as is wished, or as large as it takes to need no more than there may
/// be.
std::uint64_t piece_bytes_of(std::uint64_t object_bytes, std::uint64_t wished);

/// Ends a chain: what is written becomes one object, visible after finish(). One put for what fits into a piece, else an upload
/// piece by piece; destroyed without finish() it leaves nothing. Not for the I/O thread.
class ObjectWriter : public codec::Sink {
public:
    /// `bytes_expected`: to take no more memory than a small object needs, and enough for a huge one; nothing if unknown.
    ObjectWriter(WriteTarget target, storage::ObjectKey key, storage::PutOptions options,
                 std::optional<std::uint64_t> bytes_expected = {});
    ~ObjectWriter() override;
    void write(ByteView bytes) override;
    /// Returns when the storage confirmed all of it.
    void finish() override;
    std::uint64_t bytes() const { return sent_ + piece_.size(); }
    /// `exists`, after finish(): there was an object already, and `options` let nothing be replaced.
    storage::PutOutcome outcome() const { return outcome_; }

private:
    void send_piece();

    WriteTarget target_;
    storage::ObjectKey key_;
    storage::PutOptions options_;
    MemoryBudget::Lease lease_;
    Blob piece_;
    OnIoThread<storage::Upload> upload_;
    int pieces_ = 0;
    std::uint64_t sent_ = 0;
    bool finished_ = false;
    storage::PutOutcome outcome_ = storage::PutOutcome::stored;
};

} // namespace walgd::archive
