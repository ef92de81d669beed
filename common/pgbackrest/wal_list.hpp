#pragma once
#include "common/archive/wal/wal_catalogue.hpp"
#include "common/pgbackrest/repository.hpp"

#include <optional>

/// What the stanza's archive holds, as wal_catalogue.hpp tells it of ours.
namespace walgd::pgbackrest {

/// Segments have `segment_bytes`; 0: as the header of the one with the highest name says.
awaitable<archive::WalCatalogue> list_wal(Repository& repository, std::uint64_t segment_bytes);

/// The history file of a timeline; nothing when the archive has none.
awaitable<std::optional<pg::TimelineHistory>> stored_history(Repository& repository, pg::TimelineId timeline);

} // namespace walgd::pgbackrest
