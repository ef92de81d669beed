#pragma once
#include <string_view>

namespace walgd::backup {

/// Whether all of `name` matches `pattern` as Go's filepath.Match has it, which WAL-G's --mask is written in: `*` and `?` stop at
/// "/", `[a-z]`, `[^a]`, `\` before a character takes it as it is. Error(misconfigured) for a pattern that is none.
bool glob_match(std::string_view pattern, std::string_view name);

/// Whether all of `name` matches `pattern`, where `*` is any text and everything else itself.
bool star_match(std::string_view pattern, std::string_view name);

} // namespace walgd::backup
