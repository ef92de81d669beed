#include "common/codec/libsodium_key.hpp"

#include "common/base/error.hpp"
#include "common/base/wipe.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <sodium.h>

namespace walgd::codec {

namespace {

constexpr std::size_t text_bytes_min = 25;

[[noreturn]] void refuse(const std::string& source, std::string_view cause, std::string hint) {
    throw Error(ErrorKind::misconfigured, fmt::format("the libsodium key of {} {}", source, cause), std::move(hint));
}

/// As it is: longer keys are cut, shorter ones filled with zeros.
SodiumKey plain(std::string_view text, const std::string& source) {
    if (text.size() < text_bytes_min)
        refuse(source, fmt::format("has {} bytes, fewer than {}", text.size(), text_bytes_min),
               "for a key in hex or base64 set WALG_LIBSODIUM_KEY_TRANSFORM to that");
    SodiumKey key{};
    std::copy_n(text.begin(), std::min(text.size(), key.size()), key.begin());
    return key;
}

void require_whole(std::size_t size, std::string_view form, const std::string& source) {
    if (size != SodiumKey().size())
        refuse(source, fmt::format("decodes from {} to {} bytes, not to 32", form, size), "make one with: openssl rand -hex 32");
}

SodiumKey from_hex(std::string_view text, const std::string& source) {
    std::array<unsigned char, 64> decoded{};
    std::size_t size = 0;
    const char* end = nullptr;
    const int result = sodium_hex2bin(decoded.data(), decoded.size(), text.data(), text.size(), nullptr, &size, &end);
    if (result != 0 || end != text.data() + text.size())
        refuse(source, "is not 64 hexadecimal digits", "WALG_LIBSODIUM_KEY_TRANSFORM=hex wants 64 hexadecimal digits");
    require_whole(size, "hex", source);
    SodiumKey key;
    std::copy_n(decoded.begin(), key.size(), key.begin());
    sodium_memzero(decoded.data(), decoded.size());
    return key;
}

/// The last digit of 32 bytes has two bits that are of no byte. In a key of WAL-G's they may be anything.
std::string without_spare_bits(std::string_view text) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string key(text);
    const auto last = key.find_last_not_of("=\r\n");
    const bool padded = last != std::string::npos && key.find('=', last) != std::string::npos;
    if (!padded) return key;
    if (const auto digit = digits.find(key[last]); digit != std::string_view::npos) key[last] = digits[digit & ~std::size_t{3}];
    return key;
}

SodiumKey from_base64(std::string_view given, const std::string& source) {
    auto text = without_spare_bits(given);
    const WipeAtEnd wiped(text);
    std::array<unsigned char, 64> decoded{};
    std::size_t size = 0;
    const char* end = nullptr;
    // Line ends inside are skipped, as the other reader of these keys does.
    const int result = sodium_base642bin(decoded.data(), decoded.size(), text.data(), text.size(), "\r\n", &size, &end,
                                         sodium_base64_VARIANT_ORIGINAL);
    if (result != 0 || end != text.data() + text.size())
        refuse(source, "is not base64 of 32 bytes",
               "WALG_LIBSODIUM_KEY_TRANSFORM=base64 wants the standard alphabet, with padding");
    require_whole(size, "base64", source);
    SodiumKey key;
    std::copy_n(decoded.begin(), key.size(), key.begin());
    sodium_memzero(decoded.data(), decoded.size());
    return key;
}

} // namespace

SodiumKey sodium_key(std::string_view text, KeyTransform transform, const std::string& source) {
    switch (transform) {
    case KeyTransform::hex:
        return from_hex(text, source);
    case KeyTransform::base64:
        return from_base64(text, source);
    case KeyTransform::none:
        break;
    }
    return plain(text, source);
}

} // namespace walgd::codec
