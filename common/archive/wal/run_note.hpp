#pragma once
#include "common/archive/wal/wal_note.hpp"

namespace walgd::archive {

/// What a run of whole WAL pages says, wherever it begins and ends, with what neighbouring runs need to be joined: the records
/// that the cuts go through.
struct RunNote {
    /// Of `pages`, whose first one is at `at` in the WAL. What is no WAL at all is a run that ends at its begin.
    static RunNote of(ByteView pages, pg::Lsn at, std::uint32_t page_bytes);

    pg::Lsn at{0};
    std::uint64_t bytes = 0;
    std::uint16_t magic = 0;
    WalNote note;
    /// A record that began before the run, or begins in it and goes on behind: what is kept of it, from its front.
    struct Piece {
        std::vector<std::byte> bytes;
        bool cut = false; ///< more of it came than is kept
    };
    Piece head;
    std::uint32_t head_bytes = 0; ///< all that was to come of it, as the first page says; 0: the run begins with a record
    pg::Lsn head_end{0};
    bool all_head = false; ///< the run is a part of that record
    Piece open;            ///< empty if it is none that is noted
    pg::Lsn open_begin{0};
    std::uint32_t open_left = 0; ///< what comes of the last record behind the run

    pg::Lsn end() const { return pg::Lsn(at.bytes() + bytes); }
    /// Appends the run that begins where this one ends.
    void join(const RunNote& next);
    /// What the run before needs of this one to finish its last record, and no more.
    RunNote head_only() const;
    /// What is noted when no more will be joined.
    WalNote closed() const;

private:
    void note_open(pg::Lsn record_end);
};

} // namespace walgd::archive
