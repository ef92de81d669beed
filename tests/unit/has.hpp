#pragma once
#include <string_view>

namespace walgd {

/// Whether a message says a thing.
inline bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

} // namespace walgd
