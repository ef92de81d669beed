#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <ranges>
#include <string_view>

/// The texts of settings as values; nothing where the text is none.
namespace walgd::config {

std::optional<bool> parse_flag(std::string_view text); ///< as Go's ParseBool, and yes, no, on, off
std::optional<std::int64_t> parse_number(std::string_view text);
std::optional<std::uint64_t> parse_bytes(std::string_view text); ///< "8388608", "8MiB", "8m"
std::optional<std::chrono::milliseconds>
parse_duration(std::string_view text); ///< as Go's: "1h30m", "500ms"; a bare number is seconds

/// True when `text` is one of `words`, in the same letters.
template <class Words> bool is_one_of(std::string_view text, const Words& words) {
    return std::ranges::find(words, text) != std::ranges::end(words);
}

/// The word of `words` with the fewest changes to `text`; empty when none is near.
template <class Words> std::string_view nearest(std::string_view text, const Words& words);
std::size_t edit_distance(std::string_view a, std::string_view b);

template <class Words> std::string_view nearest(std::string_view text, const Words& words) {
    std::string_view best;
    auto best_distance = text.size() / 3 + 2;
    for (const std::string_view word : words) {
        const auto distance = edit_distance(text, word);
        if (distance >= best_distance) continue;
        best = word;
        best_distance = distance;
    }
    return best;
}

} // namespace walgd::config
