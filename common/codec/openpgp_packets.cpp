#include "common/codec/openpgp_packets.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::codec {

namespace {

constexpr unsigned tag_session_key = 1, tag_passphrase_key = 3, tag_unprotected = 9, tag_marker = 10, tag_protected = 18,
                   tag_aead = 20;

} // namespace

void refuse_message(std::string_view cause) {
    throw Error(
        ErrorKind::corrupt, fmt::format("cannot decrypt with OpenPGP: {}", cause),
        "was the object written for one of the keys of WALG_PGP_KEY or WALG_PGP_KEY_PATH? If so it is damaged: keep it and "
        "compare it with other copies");
}

bool looks_encrypted(ByteView begin) {
    constexpr unsigned char packet_version = 3;
    const auto octet = [begin](std::size_t at) { return at < begin.size() ? std::to_integer<unsigned char>(begin[at]) : 0; };
    switch (octet(0)) {
    case 0x84: // old format, with a length of one octet
        return octet(2) == packet_version;
    case 0x85: // two
        return octet(3) == packet_version;
    case 0xC1: // new format, where lengths from 192 on have two
        return octet(octet(1) < 192 ? 2 : 3) == packet_version;
    default:
        return false;
    }
}

/// Each session key packet: version, eight octets of the key's id (RFC 4880, 5.1), and more. Another packet ends them.
std::vector<std::uint64_t> keys_encrypted_to(ByteView begin) {
    constexpr std::size_t head_bytes = 9;
    std::vector<std::uint64_t> ids;
    const auto octet = [begin](std::size_t at) {
        return at < begin.size() ? std::to_integer<std::size_t>(begin[at]) : std::size_t{0};
    };
    for (std::size_t at = 0; at < begin.size();) {
        const auto tag = octet(at);
        const bool new_format = (tag & 0x40) != 0;
        if ((new_format ? tag & 0x3f : tag >> 2 & 0x0f) != tag_session_key) {
            std::ranges::sort(ids);
            return ids;
        }
        std::size_t length = 0, body = 0;
        if (new_format) {
            const bool two = octet(at + 1) >= 192;
            length = two ? ((octet(at + 1) - 192) << 8) + octet(at + 2) + 192 : octet(at + 1);
            body = at + (two ? 3 : 2);
        } else {
            const std::size_t octets = std::size_t{1} << (tag & 3);
            if (octets > 2) break;
            for (std::size_t index = 0; index < octets; ++index) length = length << 8 | octet(at + 1 + index);
            body = at + 1 + octets;
        }
        if (length < head_bytes || body + length > begin.size()) break;
        std::uint64_t id = 0;
        for (std::size_t index = 1; index < head_bytes; ++index) id = id << 8 | octet(body + index);
        ids.push_back(id);
        at = body + length;
    }
    return {};
}

void OpenpgpPackets::feed(ByteView bytes) {
    while (!bytes.empty()) {
        if (at_ == At::open_body) return;
        if (at_ == At::body) {
            const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
            left_ -= count;
            if (left_ == 0) at_ = partial_ ? At::length : At::tag;
            bytes = bytes.subspan(count);
            continue;
        }
        const auto octet = std::to_integer<unsigned char>(bytes.front());
        bytes = bytes.subspan(1);
        if (at_ == At::tag)
            read_tag(octet);
        else
            read_length(octet);
    }
}

/// 1 0 tttt ll: old format; 1 1 tttttt: new format.
void OpenpgpPackets::read_tag(unsigned char octet) {
    if (encrypted_) refuse_message("other bytes follow the message");
    if ((octet & 0x80) == 0) refuse_message("it is not an OpenPGP message in binary form");
    new_format_ = (octet & 0x40) != 0;
    const unsigned tag = new_format_ ? octet & 0x3f : octet >> 2 & 0x0f;
    if (tag == tag_unprotected) refuse_message("it has no integrity protection (MDC), so a change could not be seen");
    encrypted_ = tag == tag_protected || tag == tag_aead;
    if (!encrypted_ && tag != tag_session_key && tag != tag_passphrase_key && tag != tag_marker)
        refuse_message(fmt::format("it is not an encrypted message (packet of type {})", tag));
    partial_ = false;
    length_octets_ = new_format_ ? 0 : 1U << (octet & 3);
    at_ = !new_format_ && (octet & 3) == 3 ? At::open_body : At::length;
}

/// Old format: one, two or four octets. New format: below 192 the length itself, below 224 with one more octet, 255 with four
/// more; between them a power of two for a part, behind which another length comes.
void OpenpgpPackets::read_length(unsigned char octet) {
    if (length_octets_ > 0) {
        length_ = length_ << 8 | octet;
        --length_octets_;
        if (length_octets_ == 0) set_length(length_ + length_base_);
        return;
    }
    partial_ = octet >= 224 && octet < 255;
    if (partial_) return set_length(std::uint64_t{1} << (octet & 0x1f));
    if (octet < 192) return set_length(octet);
    length_ = octet == 255 ? 0 : octet - 192U;
    length_base_ = octet == 255 ? 0 : 192;
    length_octets_ = octet == 255 ? 4 : 1;
}

void OpenpgpPackets::set_length(std::uint64_t bytes) {
    left_ = bytes;
    length_ = length_base_ = 0;
    at_ = left_ > 0 ? At::body : partial_ ? At::length : At::tag;
}

void OpenpgpPackets::finish() const {
    const bool whole = encrypted_ && (at_ == At::tag || at_ == At::open_body);
    if (!whole) refuse_message("it is cut, the end of the message is missing");
}

} // namespace walgd::codec
