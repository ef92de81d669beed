#pragma once
#include "common/archive/archive.hpp"
#include "common/pg/wal_page.hpp"

#include <optional>

namespace walgd::archive {

/// The header of one stored segment, decoding no more than its beginning. Nothing: there is no such object, or it is too short to
/// have one. Error(corrupt) when it does not decode or is no WAL.
awaitable<std::optional<pg::WalHeader>> stored_wal_header(Archive& archive, storage::ObjectKey key,
                                                          const codec::Compression* compression);

} // namespace walgd::archive
