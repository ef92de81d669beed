#pragma once
#include "common/base/bytes.hpp"
#include "common/pg/block_changes.hpp"
#include "common/pg/lsn.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The map of the pages that sixteen segments of WAL changed: WAL-G's "<first segment>_delta" (walg-format.md, section 5).
///
///     tablespace:4 database:4 relation:4 block:4    once for each page, in any order
///     0:16                                          ends them
///     length:4 <bytes>                              the begin of the record that the last segment's end cuts
///
/// WAL-G's tell neither of relations that were truncated or made anew nor of databases that were replaced, and not for which WAL
/// they are complete. Ours do, in entries of tablespace 0, which no relation is in and WAL-G therefore never looks up:
///
///     0 1 system:8                                  upper half first; the first entry
///     0 2 start:8                                   what follows was changed by records that begin from here on
///     0 3 end:8                                     the last entry: the first record that is not looked at begins here
///     0 4 tablespace database                       the database's folder was made or removed
///     0 5 tablespace database, 0 6 relation limit   the relation was made, dropped or truncated to so few pages
namespace walgd::pg {

inline constexpr std::uint64_t delta_group_segments = 16;

/// What the records changed that begin from `start` on, and before the next section or the object's end.
struct DeltaSection {
    Lsn start{0};
    BlockChanges changes{}; ///< main forks; in WAL-G's also what was changed in others, as if it were in the main one
};

/// All records that begin from `start` on and before `end` were looked at; a record begins at either.
struct DeltaProof {
    SystemIdentifier system{0};
    Lsn start{0}, end{0};
    friend bool operator==(const DeltaProof&, const DeltaProof&) = default;
};

/// One object, read whole.
struct DeltaObject {
    std::optional<DeltaProof> proof; ///< nothing: it is WAL-G's
    std::vector<DeltaSection>
        sections; ///< in the order of the WAL, one a segment, the first from the proof's start on; WAL-G's: one
    std::string tail;
};

/// Of the segments from `group` * 16 on.
std::string delta_object_name(TimelineId timeline, std::uint64_t group, std::uint64_t segment_bytes);

/// An object of ours, from its begin to its end: so much of one is in memory as a section has.
std::string delta_object_begin(SystemIdentifier system);
std::string delta_object_section(const DeltaSection& section);
std::string delta_object_end(Lsn end, std::string_view tail);

/// Error(corrupt), naming `file`, when it is cut or has entries that nobody knows.
DeltaObject parse_delta_object(ByteView content, std::string_view file);

} // namespace walgd::pg
