#pragma once
#include "common/base/bytes.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace walgd::codec {

/// Follows the outer packets of an encrypted OpenPGP message (RFC 4880, section 4) as its bytes pass: session keys, then one
/// encrypted packet with integrity protection, then nothing. A library that reads ahead does not tell of bytes behind the
/// message, nor a cut from a damaged one. Throws Error(corrupt).
class OpenpgpPackets {
public:
    void feed(ByteView bytes);
    /// The bytes end here.
    void finish() const;

private:
    enum class At { tag, length, body, open_body };

    void read_tag(unsigned char octet);
    void read_length(unsigned char octet);
    void set_length(std::uint64_t bytes);

    At at_ = At::tag;
    bool new_format_ = false, partial_ = false, encrypted_ = false;
    unsigned length_octets_ = 0; // still to come
    std::uint64_t length_ = 0, length_base_ = 0;
    std::uint64_t left_ = 0; // of the body, or of its part
};

/// Whether an object that begins so is encrypted to a public key: its first packet is a session key (RFC 4880, 5.1).
bool looks_encrypted(ByteView begin);

/// The ids of the public keys that an object which begins so is encrypted to, sorted; none where it is cut before they end, or is
/// no such object.
std::vector<std::uint64_t> keys_encrypted_to(ByteView begin);

/// Error(corrupt) for a message that cannot be decrypted, with the hint that fits.
[[noreturn]] void refuse_message(std::string_view cause);

} // namespace walgd::codec
