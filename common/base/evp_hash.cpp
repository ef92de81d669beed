#include "common/base/evp_hash.hpp"

#include "common/base/error.hpp"
#include "common/base/handles.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

namespace walgd {

struct EvpHash::State {
    const evp_md_st* algorithm;
    std::unique_ptr<EVP_MD_CTX, FreeWith<&EVP_MD_CTX_free>> context{EVP_MD_CTX_new()};

    void require(int result) const {
        if (result != 1)
            throw Error(ErrorKind::failed, fmt::format("cannot compute {}: OpenSSL failed", EVP_MD_get0_name(algorithm)),
                        "does its policy (FIPS) allow it?");
    }
};

EvpHash::EvpHash(const evp_md_st* algorithm) : state_(std::make_unique<State>(State{algorithm})) {
    state_->require(state_->context ? EVP_DigestInit_ex(state_->context.get(), algorithm, nullptr) : 0);
}

EvpHash::~EvpHash() = default;

void EvpHash::update(ByteView bytes) { state_->require(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size())); }

void EvpHash::finish(MutableBytes digest) {
    state_->require(EVP_DigestFinal_ex(state_->context.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr));
}

} // namespace walgd
