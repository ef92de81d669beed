#include "common/base/sha256.hpp"

#include <openssl/evp.h>

namespace walgd {

Sha256::Sha256() : hash_(EVP_sha256()) {}

Sha256Digest Sha256::digest() {
    Sha256Digest digest;
    hash_.finish(digest);
    return digest;
}

Sha256Digest sha256(ByteView bytes) {
    Sha256 hash;
    hash.update(bytes);
    return hash.digest();
}

} // namespace walgd
