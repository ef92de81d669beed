#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace walgd {

/// The bytes that hex digits of either case stand for; nothing when `text` is something else.
std::optional<std::string> from_hex(std::string_view text);

} // namespace walgd
