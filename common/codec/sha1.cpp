#include "common/codec/sha1.hpp"

#include "common/base/error.hpp"
#include "common/base/handles.hpp"

#include <charconv>
#include <openssl/evp.h>

namespace walgd::codec {

namespace {

void require(int result) {
    if (result != 1)
        throw Error(ErrorKind::failed, "cannot compute SHA-1: OpenSSL failed", "does its policy (FIPS) allow SHA-1?");
}

} // namespace

std::optional<Sha1Digest> parse_sha1(std::string_view hex) {
    Sha1Digest digest;
    if (hex.size() != 2 * digest.size()) return std::nullopt;
    for (std::size_t index = 0; index < digest.size(); ++index) {
        const auto* digits = hex.data() + 2 * index;
        unsigned char byte = 0;
        if (std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2) return std::nullopt;
        digest[index] = std::byte{byte};
    }
    return digest;
}

struct Sha1::State {
    std::unique_ptr<EVP_MD_CTX, FreeWith<&EVP_MD_CTX_free>> context{EVP_MD_CTX_new()};
};

Sha1::Sha1() : state_(std::make_unique<State>()) {
    require(state_->context ? EVP_DigestInit_ex(state_->context.get(), EVP_sha1(), nullptr) : 0);
}

Sha1::~Sha1() = default;

void Sha1::update(ByteView bytes) { require(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size())); }

Sha1Digest Sha1::digest() {
    Sha1Digest digest;
    require(EVP_DigestFinal_ex(state_->context.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr));
    return digest;
}

} // namespace walgd::codec
