#pragma once
#include "common/archive/archive.hpp"

#include <string>

namespace walgd::archive {

enum class Fetched { stored, absent /* the storage answered, for every suffix, that there is no such object */ };

struct WalFetchOptions {
    bool exclusive = false; ///< as wal-g: an existing destination is an Error
    bool check_content = true;
};

/// Fetches wal_005/<name>.* into `destination`: decoded under a temporary name beside it, checked (size, page header, name),
/// fsynced, renamed. Nothing is left behind on failure. The configured method's suffix is tried first, then the others, "X." and
/// "X" last.
awaitable<Fetched> wal_fetch(Archive& archive, std::string name, std::string destination, WalFetchOptions options);

} // namespace walgd::archive
