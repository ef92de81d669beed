#include "config/values.hpp"

#include "common/base/bytes.hpp"
#include "common/base/number_text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <vector>

namespace walgd::config {

std::optional<bool> parse_flag(std::string_view text) {
    const auto word = lower_case(text);
    for (const auto* yes : {"1", "t", "true", "yes", "on"}) {
        if (word == yes) return true;
    }
    for (const auto* no : {"0", "f", "false", "no", "off"}) {
        if (word == no) return false;
    }
    return std::nullopt;
}

std::optional<std::int64_t> parse_number(std::string_view text) { return whole_number<std::int64_t>(text); }

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc()) return std::nullopt;
    auto unit = lower_case(text.substr(static_cast<std::size_t>(end - text.data())));
    std::erase(unit, ' ');
    if (unit.ends_with("ib"))
        unit.erase(unit.size() - 2);
    else if (unit.size() > 1 && unit.ends_with("b"))
        unit.pop_back();
    const auto shift = unit.empty() || unit == "b" ? 0
                       : unit == "k"               ? 10
                       : unit == "m"               ? 20
                       : unit == "g"               ? 30
                       : unit == "t"               ? 40
                                                   : -1;
    if (shift < 0 || number > (UINT64_MAX >> shift)) return std::nullopt;
    return number << shift;
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
    // A hundred years, as no clock's nanoseconds go much further.
    constexpr double longest = 100.0 * 366 * 86'400'000;
    if (const auto seconds = parse_number(text); seconds && *seconds >= 0)
        return static_cast<double>(*seconds) * 1000 <= longest ? std::optional(std::chrono::seconds(*seconds)) : std::nullopt;
    double milliseconds = 0;
    if (text.empty()) return std::nullopt;
    while (!text.empty()) {
        double number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc() || number < 0) return std::nullopt;
        text.remove_prefix(static_cast<std::size_t>(end - text.data()));
        const auto length = std::min(text.find_first_of("0123456789."), text.size());
        const auto unit = text.substr(0, length);
        const double factor = unit == "h"                    ? 3600000
                              : unit == "m"                  ? 60000
                              : unit == "s"                  ? 1000
                              : unit == "ms"                 ? 1
                              : unit == "us" || unit == "µs" ? 0.001
                              : unit == "ns"                 ? 0.000001
                                                             : 0;
        if (factor == 0) return std::nullopt;
        milliseconds += number * factor;
        text.remove_prefix(length);
    }
    if (!(milliseconds <= longest)) return std::nullopt;
    return std::chrono::milliseconds(std::llround(milliseconds));
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t column = 0; column <= b.size(); ++column) row[column] = column;
    for (std::size_t line = 1; line <= a.size(); ++line) {
        auto diagonal = row[0];
        row[0] = line;
        for (std::size_t column = 1; column <= b.size(); ++column) {
            const auto above = row[column];
            const auto change = diagonal + (a[line - 1] == b[column - 1] ? 0 : 1);
            row[column] = std::min({change, above + 1, row[column - 1] + 1});
            diagonal = above;
        }
    }
    return row[b.size()];
}

} // namespace walgd::config
