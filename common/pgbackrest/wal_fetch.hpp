#pragma once
#include "common/archive/wal/wal_fetch.hpp"
#include "common/pgbackrest/repository.hpp"

#include <string>

namespace walgd::pgbackrest {

/// Fetches what PostgreSQL asks for in recovery (segments, .partial, .history and .backup files) out of the stanza's archive into
/// `destination`, as archive::fetch_durably() does it. The content's SHA-1 must be the one in the object's name, and its page
/// header must be the segment's. `absent` only if the stanza is there and the storage answered that the file is not; two objects
/// of one segment are an Error(corrupt).
awaitable<archive::Fetched> fetch_wal(Repository& repository, std::string name, std::string destination, bool exclusive);

} // namespace walgd::pgbackrest
