#pragma once
#include "config/settings.hpp"

#include <string>
#include <vector>

namespace walgd::config {

/// The primary storage's name, and the one that means all; no failover storage may have them.
inline constexpr std::string_view default_storage = "default", all_storages = "all";

/// One storage with the settings that it is opened with.
struct StorageSettings {
    std::string name;
    Settings settings;
};

/// The primary first, then those of failover_storages by name; names are in lower case, as WAL-G has them. Error(misconfigured)
/// where one of them has a setting that is none of a storage's, or no prefix.
std::vector<StorageSettings> storage_settings(const Settings& settings);

/// The names of storage_settings() that `target` means; all of them where it is empty or "all". Error(misconfigured) when there
/// is none of that name.
std::vector<StorageSettings> storage_settings(const Settings& settings, const std::string& target);

} // namespace walgd::config
