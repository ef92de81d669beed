#pragma once
#include "config/settings.hpp"

#include <string>
#include <vector>
#include <yaml-cpp/node/node.h>

namespace walgd::config {

/// Names the file; no setting, since none can stand in the file it names.
inline constexpr std::string_view config_path_variable = "WALG_CONFIG_PATH";

/// WAL-G's own settings file in that folder; empty: there is none.
std::string walg_file_in(const std::string& home);

/// The file that settings are read from, see Sources; empty: there is none. Error(misconfigured) where the one that is named is
/// not there. A file that is passed over, as this user may not look at it, or as another one goes before it, is a warning more.
std::string find_settings_file(const Sources& sources, std::vector<std::string>& warnings);

/// The map of a file's text, YAML or JSON; null where it is empty. Error(misconfigured) names `path` and the line.
YAML::Node load_yaml(const std::string& text, const std::string& path);

/// The text of one value. Error(misconfigured) names `where` when it is a list or a map.
std::string scalar_text(const YAML::Node& node, const std::string& where);

/// The text of a whole number that a program wrote as a floating one (1.073741823e+09, 10.0), as WAL-G reads it: in digits. Any
/// other text as it is.
std::string number_text(const YAML::Node& node, std::string text);

/// The names with their settings, as JSON: what the environment has for it. Error(misconfigured) as above.
std::string storages_text(const YAML::Node& storages, const std::string& where);

} // namespace walgd::config
