#pragma once
#include "common/codec/cipher.hpp"

#include <array>

namespace walgd::codec {

using SodiumKey = std::array<unsigned char, 32>;

/// The key of a secretstream from a setting's text (walg-format.md, 7.2). Error(misconfigured) names `source`, never the key.
SodiumKey sodium_key(std::string_view text, KeyTransform transform, const std::string& source);

} // namespace walgd::codec
