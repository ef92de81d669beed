#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace walgd::config {

/// Where an archive is, in one secret: https://KEY:SECRET@host/bucket/directory, as Fly's postgres-flex has it in
/// S3_ARCHIVE_CONFIG.
struct ArchiveUrl {
    std::string endpoint, prefix; ///< "https://host", "s3://bucket/directory"
    std::string access_key, secret_key;
};

/// Nothing: it is not of that form. Key, secret and path may be percent-encoded.
std::optional<ArchiveUrl> parse_archive_url(std::string_view text);

/// Nothing: a percent sign without two hexadecimal digits behind it.
std::optional<std::string> percent_decoded(std::string_view text);

/// A setting that other variables stand for, and which they are.
struct DerivedSetting {
    std::string name, value, source; ///< our name
};

/// Name of a variable: its value, and where it came from.
using Variables = std::map<std::string, std::pair<std::string, std::string>>;

/// What Fly's own variables say of the storage: S3_ARCHIVE_CONFIG (postgres-flex), else BUCKET_NAME with FLY_APP_NAME, beside
/// which `fly storage create` sets AWS_ names. Error(misconfigured) where the first is of no use; its value is never told.
std::vector<DerivedSetting> settings_of_fly(const Variables& variables);

} // namespace walgd::config
