#pragma once
#include "common/codec/evp_hash.hpp"
#include "common/codec/sink.hpp"

#include <array>
#include <string>

namespace walgd::codec {

using Sha256Digest = std::array<std::byte, 32>;

/// SHA-256 of what is given to update().
class Sha256 {
public:
    Sha256();
    void update(ByteView bytes) { hash_.update(bytes); }
    /// Once, at the end.
    Sha256Digest digest();

private:
    EvpHash hash_;
};

Sha256Digest sha256(ByteView bytes);

/// Hashes and counts what it passes on.
class HashingSink : public Sink {
public:
    explicit HashingSink(Sink& next) : next_(next) {}
    void write(ByteView bytes) override {
        hash_.update(bytes);
        size_ += bytes.size();
        next_.write(bytes);
    }
    void finish() override { next_.finish(); }
    std::uint64_t size() const { return size_; }
    /// Once, after finish().
    Sha256Digest digest() { return hash_.digest(); }

private:
    Sink& next_;
    Sha256 hash_;
    std::uint64_t size_ = 0;
};

} // namespace walgd::codec
