#include "common/base/hex.hpp"

#include <charconv>

namespace walgd {

std::optional<std::string> from_hex(std::string_view text) {
    if (text.size() % 2 != 0) return std::nullopt;
    std::string bytes;
    bytes.reserve(text.size() / 2);
    for (std::size_t at = 0; at < text.size(); at += 2) {
        unsigned char byte = 0;
        const auto [end, error] = std::from_chars(text.data() + at, text.data() + at + 2, byte, 16);
        if (error != std::errc() || end != text.data() + at + 2) return std::nullopt;
        bytes += static_cast<char>(byte);
    }
    return bytes;
}

} // namespace walgd
