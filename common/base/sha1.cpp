#include "common/base/sha1.hpp"

#include <algorithm>
#include <openssl/evp.h>

namespace walgd {

std::optional<Sha1Digest> parse_sha1(std::string_view hex) {
    Sha1Digest digest;
    const auto bytes = from_hex(hex);
    if (!bytes || bytes->size() != digest.size()) return std::nullopt;
    std::ranges::copy(bytes_of(*bytes), digest.begin());
    return digest;
}

Sha1::Sha1() : hash_(EVP_sha1()) {}

Sha1Digest Sha1::digest() {
    Sha1Digest digest;
    hash_.finish(digest);
    return digest;
}

} // namespace walgd
