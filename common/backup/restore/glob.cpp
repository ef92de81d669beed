#include "common/backup/restore/glob.hpp"

#include "common/base/error.hpp"

#include <fmt/format.h>
#include <functional>
#include <string>

namespace walgd::backup {

namespace {

[[noreturn]] void malformed(std::string_view pattern) {
    throw Error(
        ErrorKind::misconfigured, fmt::format("the mask '{}' is not a pattern", pattern),
        R"(a mask has * ? [a-z] in it, "\" before what is meant as it is; it begins below the data directory: base/16384/*)");
}

/// One element of a pattern that takes exactly one character.
struct Element {
    std::size_t length = 1; ///< in the pattern
    bool matches = false;
};

class Pattern {
public:
    explicit Pattern(std::string_view text) : text_(text) {}

    std::size_t size() const { return text_.size(); }
    bool star_at(std::size_t at) const { return text_[at] == '*'; }
    Element element(std::size_t at, char c) const {
        if (text_[at] == '[') return set(at, c);
        if (text_[at] == '?') return {1, c != '/'};
        if (text_[at] != '\\') return {1, c == text_[at]};
        return {2, c == literal(at)};
    }

private:
    /// The character at `at`, which may stand behind a backslash.
    char literal(std::size_t at) const {
        if (at < text_.size() && text_[at] == '\\') ++at;
        if (at >= text_.size()) malformed(text_);
        return text_[at];
    }
    std::size_t literal_length(std::size_t at) const { return text_[at] == '\\' ? 2 : 1; }

    Element set(std::size_t begin, char c) const {
        auto at = begin + 1;
        const bool negated = at < text_.size() && text_[at] == '^';
        if (negated) ++at;
        bool found = false;
        for (bool first = true; first || at >= text_.size() || text_[at] != ']'; first = false) {
            if (at >= text_.size() || text_[at] == '-' || text_[at] == ']') malformed(text_);
            const char low = literal(at);
            char high = low;
            at += literal_length(at);
            if (at < text_.size() && text_[at] == '-') {
                if (at + 1 < text_.size() && text_[at + 1] == ']') malformed(text_);
                high = literal(at + 1);
                at += 1 + literal_length(at + 1);
            }
            found |= low <= c && c <= high;
        }
        return {at + 1 - begin, found != negated};
    }

    std::string_view text_;
};

/// The whole pattern is looked at, so that a broken end is told whatever the name is.
void check(const Pattern& pattern) {
    for (std::size_t at = 0; at < pattern.size();) at += pattern.star_at(at) ? 1 : pattern.element(at, 'x').length;
}

} // namespace

bool glob_match(std::string_view text, std::string_view name) {
    const Pattern pattern(text);
    check(pattern);
    // Where to go on when what follows the last star does not match: the star takes one character more.
    std::size_t at = 0, used = 0, star = std::string_view::npos, star_used = 0;
    while (used < name.size() || at < pattern.size()) {
        if (at < pattern.size() && pattern.star_at(at)) {
            star = at++;
            star_used = used;
            continue;
        }
        if (at < pattern.size() && used < name.size()) {
            if (const auto element = pattern.element(at, name[used]); element.matches) {
                at += element.length;
                ++used;
                continue;
            }
        }
        if (star == std::string_view::npos || star_used >= name.size() || name[star_used] == '/') return false;
        used = ++star_used;
        at = star + 1;
    }
    return true;
}

bool star_match(std::string_view pattern, std::string_view name) {
    const auto star = pattern.find('*');
    if (star == std::string_view::npos) return pattern == name;
    if (!name.starts_with(pattern.substr(0, star))) return false;
    const auto rest = pattern.substr(star + 1);
    for (auto at = star; at <= name.size(); ++at)
        if (star_match(rest, name.substr(at))) return true;
    return false;
}

} // namespace walgd::backup
