#pragma once
#include "common/archive/archive.hpp"
#include "common/archive/wal/wal_note.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

/// The commit-time index: notes of stored segments, 256 neighbours in one object, packed as WAL is. It may lack anything and may
/// vanish; what it says is asked of the WAL again before anything is decided by it.
///
///     walgd_005/index/<timeline, 8 hex>/<number of the 256, 10 hex>[-<writer>].json[.<suffix>]
namespace walgd::archive {

inline constexpr std::uint64_t index_block_segments = 256;

/// Which of the objects a segment is in.
struct IndexPlace {
    pg::TimelineId timeline{0};
    std::uint64_t block = 0;
    static IndexPlace of(pg::Segment segment) { return {segment.timeline, segment.number / index_block_segments}; }
    friend auto operator<=>(const IndexPlace&, const IndexPlace&) = default;
};

/// `writer`: empty but for one who cannot read what is there (it has a public key alone).
storage::ObjectKey index_key(IndexPlace place, std::string_view writer, std::string_view suffix);

/// One object of the index, by its name.
struct IndexObject {
    storage::ObjectKey key;
    IndexPlace place;
    const codec::Compression* compression;
};
/// What the archive has; names that nobody knows are left alone.
awaitable<std::vector<IndexObject>> list_index(Archive& archive);
/// Nothing if it is not there. Error(corrupt) when it cannot be read.
awaitable<std::optional<NoteBlock>> read_index(Archive& archive, IndexObject object);
/// Replaces what is there.
awaitable<void> write_index(Archive& archive, NoteBlock block, std::string writer);

/// `more`'s notes into `block`; a complete one is never replaced by one that is not.
void merge(NoteBlock& block, const NoteBlock& more);
/// In the order of segments. Replaces the one that is there, as merge() does.
void put_note(NoteBlock& block, std::uint64_t number, WalNote note);

} // namespace walgd::archive
