#pragma once
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace walgd {

/// The number that the whole text is, digits of `base` without a prefix; nothing when it is something else, empty or too large. A
/// minus is taken where Number is signed, a plus or a blank never.
template <class Number> std::optional<Number> whole_number(std::string_view text, int base = 10) {
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

} // namespace walgd
