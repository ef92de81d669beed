#include "config/env_file.hpp"

#include "common/base/bytes.hpp"
#include "common/base/error.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>

namespace walgd::config {

namespace {

bool is_name(std::string_view text) {
    const auto letter = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
    return !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) == 0 && std::ranges::all_of(text, letter);
}

/// Of a value without quotes: a note behind it is none of it, as for shells and WAL-G.
std::string_view without_note(std::string_view text) {
    for (std::size_t at = 1; at < text.size(); ++at)
        if (text[at] == '#' && (text[at - 1] == ' ' || text[at - 1] == '\t')) return trimmed(text.substr(0, at));
    return text;
}

/// The value without its quotes; nothing where a quote is not closed, or something follows it.
std::optional<std::string> unquoted(std::string_view text) {
    if (text.empty() || (text.front() != '"' && text.front() != '\'')) return std::string(without_note(text));
    const char quote = text.front();
    std::string value;
    for (std::size_t at = 1; at < text.size(); ++at) {
        if (text[at] == quote) {
            const auto rest = trimmed(text.substr(at + 1));
            return rest.empty() || rest.front() == '#' ? std::optional(value) : std::nullopt;
        }
        const bool escapes = quote == '"' && text[at] == '\\' && at + 1 < text.size();
        if (escapes && std::string_view("\"\\$`").find(text[at + 1]) != std::string_view::npos) ++at;
        value += text[at];
    }
    return std::nullopt;
}

std::optional<EnvLine> parse_line(std::string_view line, std::size_t number) {
    constexpr std::string_view shell_word = "export ";
    if (line.starts_with(shell_word)) line = trimmed(line.substr(shell_word.size()));
    const auto equals = line.find('=');
    if (equals == std::string_view::npos || !is_name(line.substr(0, equals))) return std::nullopt;
    auto value = unquoted(line.substr(equals + 1));
    if (!value) return std::nullopt;
    return EnvLine{std::string(line.substr(0, equals)), std::move(*value), number};
}

} // namespace

std::optional<std::vector<EnvLine>> parse_env_file(std::string_view text, const std::string& path) {
    std::vector<EnvLine> lines;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const auto end = std::min(text.find('\n'), text.size());
        const auto line = trimmed(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty() || line.front() == '#' || line.front() == ';') continue;
        auto parsed = parse_line(line, number);
        if (!parsed && lines.empty()) return std::nullopt;
        if (!parsed)
            throw Error(ErrorKind::misconfigured, fmt::format("{} line {} is not NAME=VALUE", path, number),
                        "a value with quotes in it is written in the other kind of quotes");
        lines.push_back(std::move(*parsed));
    }
    if (lines.empty()) return std::nullopt;
    return lines;
}

} // namespace walgd::config
