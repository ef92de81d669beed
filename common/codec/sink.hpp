#pragma once
#include "common/base/bytes.hpp"

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

} // namespace walgd::codec
