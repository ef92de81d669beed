#include "common/base/log_repeats.hpp"
#include "common/base/in_quotes.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>

namespace walgd {

namespace {

/// More kinds of trouble at once than this are told line by line.
constexpr std::size_t kinds_max = 256;

/// These tell a turn for the worse, and "event=storage_answers" each one's end: none is a repetition of another.
constexpr std::array<std::string_view, 2> turns{"event=storage_failing ", "event=storage_slow "};

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

/// Words that hold a digit - numbers, segments, ports, ids - are all one.
std::string without_numbers(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        auto end = at;
        bool digit = false;
        for (; end < text.size() && is_word(text[end]); ++end) digit |= std::isdigit(static_cast<unsigned char>(text[end])) != 0;
        if (end == at)
            out += text[at++];
        else {
            out += digit ? std::string_view("#") : text.substr(at, end - at);
            at = end;
        }
    }
    return out;
}

} // namespace

bool LogRepeats::tell(spdlog::level::level_enum level, std::string_view text, Time now) {
    if (level < spdlog::level::warn) return true;
    if (std::ranges::any_of(turns, [text](auto turn) { return text.starts_with(turn); })) return true;
    auto kind = level == spdlog::level::warn ? without_numbers(text) : std::string(text);
    const auto found = seen_.find(kind);
    if (found != seen_.end()) {
        ++found->second.more;
        return false;
    }
    if (seen_.size() < kinds_max) seen_.emplace(std::move(kind), Seen{now, level, std::string(text)});
    return true;
}

std::vector<LogRepeats::Count> LogRepeats::due(Time now, bool at_end) {
    std::vector<Count> counts;
    for (auto seen = seen_.begin(); seen != seen_.end();) {
        const auto& [since, level, first, more] = seen->second;
        // Before its beginning: the clock was set back.
        if (!at_end && now >= since && now < since + window) {
            ++seen;
            continue;
        }
        if (more > 0) {
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - since).count();
            counts.push_back({level, fmt::format("event=repeated more={} seconds={} like={}", more, seconds, in_quotes(first))});
        }
        seen = seen_.erase(seen);
    }
    return counts;
}

} // namespace walgd
