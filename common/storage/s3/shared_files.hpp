#pragma once
#include "common/base/log.hpp"
#include "common/storage/s3/signature.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The credentials and config files that Amazon's tools share: profiles with their settings.
namespace walgd::storage {

/// A profile's settings.
using Profile = std::map<std::string, std::string>;
/// Empty where the file has no such profile.
Profile parse_profile(std::string_view ini, std::string_view profile);
/// Empty where it is not set.
std::string value_of(const Profile& profile, const std::string& name);
/// The setting by which a profile has its keys from elsewhere, in a way that is not ours; empty: it has none such.
std::string_view foreign_source(const Profile& profile);

struct SharedFile {
    std::string path, text; ///< the text is empty where there is none
    bool meant;             ///< somebody named it or a profile, or WAL-G reads it always
};
/// `named`, else what is at the place `otherwise`. Error when one that was named cannot be read, Error(misconfigured) when it is
/// not there.
SharedFile read_shared(const std::string& named, const std::string& otherwise, Log& log);
/// The keys that a profile holds itself.
std::optional<Credentials> keys_of(const std::vector<SharedFile>& files, const std::string& name);

} // namespace walgd::storage
