#pragma once
#include "config/settings.hpp"

namespace walgd::config {

/// Looks for secrets in files that everyone on this host may read: the file of the settings, and the keys that they name.
///
/// What stands in a file of ours (in /etc/walgd, or called walgd...) or is a setting of ours alone is refused by the daemon:
/// Error(misconfigured) with the chmod to do. What was set up for WAL-G goes on working with a warning, and so does every command
/// of walg, since a restore in need must not fail by it.
std::vector<std::string> open_file_warnings(const Settings& settings, bool daemon);

/// Others may read it, and come to it through all its folders.
bool open_to_everyone(const std::string& path);

} // namespace walgd::config
