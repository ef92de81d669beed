#pragma once
#include "common/archive/archive.hpp"
#include "common/pg/wal_name.hpp"

#include <optional>
#include <string>

namespace walgd::archive {

/// Sixteen neighbours on one timeline, whose changed pages are one object (common/pg/delta_object.hpp).
struct DeltaGroup {
    pg::TimelineId timeline{0};
    std::uint64_t number = 0;
    std::uint64_t segment_bytes = 0;

    /// The group that is complete once `name`, of `file_bytes`, is stored; nothing if that is not the last segment of one.
    static std::optional<DeltaGroup> ended_by(std::string_view name, std::uint64_t file_bytes);
    std::string object_name() const;
    friend auto operator<=>(const DeltaGroup&, const DeltaGroup&) = default;
};

/// Writes the map of the pages that a group changed; `replace`: also where there is one. The segments are read where PostgreSQL
/// has them still, as it does of those that were just archived; what is missing comes from the archive. Nothing is written of a
/// group in which not every byte was followed: Error(corrupt) or Error(refused) tells why. A group before it that has no map,
/// since nobody saw its end, gets one too, where that can be. `pg_wal`: empty if not known. On the I/O thread.
awaitable<void> record_group(Archive& archive, std::string pg_wal, DeltaGroup group, bool replace);

} // namespace walgd::archive
