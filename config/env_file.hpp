#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace walgd::config {

/// One variable.
struct EnvLine {
    std::string name, value;
    std::size_t line = 0; ///< from 1
};

/// A file of NAME=VALUE lines, as shells and WAL-G read them: comments, also behind a value, an "export " before the name, and
/// quotes around the value. Nothing in a value is expanded. Nothing: its first line is none of these, so it is something else.
/// Error(misconfigured) names `path` and the line that does not belong there.
std::optional<std::vector<EnvLine>> parse_env_file(std::string_view text, const std::string& path);

} // namespace walgd::config
