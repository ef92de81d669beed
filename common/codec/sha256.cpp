#include "common/codec/sha256.hpp"

#include "common/base/error.hpp"
#include "common/base/handles.hpp"

#include <openssl/evp.h>

namespace walgd::codec {

namespace {

void require(int result) {
    if (result != 1) throw Error(ErrorKind::failed, "cannot compute SHA-256: OpenSSL failed");
}

} // namespace

struct Sha256::State {
    std::unique_ptr<EVP_MD_CTX, FreeWith<&EVP_MD_CTX_free>> context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
    require(state_->context ? EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) : 0);
}

Sha256::~Sha256() = default;

void Sha256::update(ByteView bytes) { require(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size())); }

Sha256Digest Sha256::digest() {
    Sha256Digest digest;
    require(EVP_DigestFinal_ex(state_->context.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr));
    return digest;
}

Sha256Digest sha256(ByteView bytes) {
    Sha256 hash;
    hash.update(bytes);
    return hash.digest();
}

} // namespace walgd::codec
