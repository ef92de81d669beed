#pragma once
#include "common/storage/s3/proxy.hpp"
#include "common/storage/s3/s3_storage.hpp"
#include "config/settings.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace walgd::config {

/// What the settings say of S3; what its credentials may be found by in the environment is of this process's.
/// Error(misconfigured) when they contradict each other.
storage::S3Options s3_options(const Settings& settings);

/// As this process's environment has them: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, or the same in lower case. Error(misconfigured)
/// as ProxyRules'.
storage::ProxyRules proxy_rules();

/// The size of the pieces of large objects: s3_max_part_size, but a quarter of memory_budget at most where nobody has set that.
/// Error(misconfigured) when it is too small for S3, or too large for a memory_budget that is given.
std::uint64_t piece_bytes(const Settings& settings);

/// The two with one slash between them, and none at the end; the one alone where the other is empty.
std::string joined(std::string path, std::string_view below);

} // namespace walgd::config
