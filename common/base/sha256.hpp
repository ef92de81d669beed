#pragma once
#include "common/base/evp_hash.hpp"

#include <array>

namespace walgd {

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

} // namespace walgd
