#pragma once
#include "common/base/bytes.hpp"

#include <cstdint>
#include <functional>
#include <memory>

namespace walgd::codec {

/// One stage of a byte stream. write() comes in order, in any cut of the bytes; finish() comes exactly once, flushes, and
/// finishes the next stage. A stage knows only the next one, which must outlive it. Plain synchronous code: runs on a CPU thread.
/// After an exception the chain is dead. A stage destroyed without finish() lets go of what it holds and passes nothing on.
class Sink {
public:
    virtual ~Sink() = default;
    virtual void write(ByteView bytes) = 0;
    virtual void finish() = 0;
    /// Of what comes, the `count` bytes behind the next `after` are of no use here: skip(count) may come in place of them, so
    /// that nobody has to make them. What is told once stays so.
    virtual bool can_skip(std::uint64_t /*after*/, std::uint64_t /*count*/) const { return false; }
    /// Only where can_skip(0, count).
    virtual void skip(std::uint64_t /*count*/) {}
};

/// The end of a chain: everything into one Blob.
class BlobSink : public Sink {
public:
    explicit BlobSink(std::size_t capacity = 0) : blob_(capacity) {}
    void write(ByteView bytes) override { blob_.append(bytes); }
    void finish() override {}
    Blob take() { return std::move(blob_); }

private:
    Blob blob_;
};

/// Called with an end before the bytes up to it are written; returns when they may be. So a buffer is filled again behind
/// somebody who still reads it.
using MayFill = std::function<void(std::size_t end)>;

/// The end of a chain: into memory that is there already. More than fits is an Error(corrupt).
class MemorySink : public Sink {
public:
    explicit MemorySink(MutableBytes into, MayFill may_fill = {}) : into_(into), may_fill_(std::move(may_fill)) {}
    void write(ByteView bytes) override;
    void finish() override {}
    std::size_t count() const { return count_; }

private:
    MutableBytes into_;
    MayFill may_fill_;
    std::size_t count_ = 0;
};

} // namespace walgd::codec
