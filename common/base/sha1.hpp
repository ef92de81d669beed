#pragma once
#include "common/base/evp_hash.hpp"

#include <array>
#include <optional>
#include <string_view>

namespace walgd {

using Sha1Digest = std::array<std::byte, 20>;

/// 40 hex digits of either case; nothing, if it is something else.
std::optional<Sha1Digest> parse_sha1(std::string_view hex);

/// SHA-1 of what is given to update(): for formats that name their content by it, not for secrets.
class Sha1 {
public:
    Sha1();
    void update(ByteView bytes) { hash_.update(bytes); }
    /// Once, at the end.
    Sha1Digest digest();

private:
    EvpHash hash_;
};

} // namespace walgd
