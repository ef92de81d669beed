#pragma once
#include <fmt/format.h>
#include <string_view>

namespace walgd {

/// A value of a log line that may hold spaces, quotes or any other byte: in quotes, with \", \\, \n, \r and \t as escapes. Refers
/// to the text. (fmt 9's {:?} ends the program at some texts that are no UTF-8.)
struct InQuotes {
    std::string_view text;
};
inline InQuotes in_quotes(std::string_view text) { return {text}; }

} // namespace walgd

template <> struct fmt::formatter<walgd::InQuotes> {
    constexpr auto parse(format_parse_context& context) { return context.begin(); }
    template <class Context> auto format(const walgd::InQuotes& quoted, Context& context) const {
        constexpr std::string_view special = "\"\\\n\r\t", letters = "\"\\nrt";
        auto out = context.out();
        *out++ = '"';
        for (const char c : quoted.text) {
            const auto which = special.find(c);
            if (which != special.npos) *out++ = '\\';
            *out++ = which == special.npos ? c : letters[which];
        }
        *out++ = '"';
        return out;
    }
};
