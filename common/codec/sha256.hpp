#pragma once
#include "common/codec/sink.hpp"

#include <array>
#include <string>

namespace walgd::codec {

using Sha256Digest = std::array<std::byte, 32>;

/// SHA-256 of what is given to update().
class Sha256 {
public:
    Sha256();
    ~Sha256();
    Sha256(const Sha256&) = delete;
    void update(ByteView bytes);
    Sha256Digest digest();

private:
    struct State;
    std::unique_ptr<State> state_;
};

Sha256Digest sha256(ByteView bytes);

} // namespace walgd::codec
