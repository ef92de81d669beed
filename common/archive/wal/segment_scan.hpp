#pragma once
#include "common/archive/wal/run_note.hpp"
#include "common/archive/wal/wal_source.hpp"

#include <map>
#include <mutex>
#include <optional>

namespace walgd::archive {

/// A segment, and what it says.
struct ScannedSegment {
    pg::SystemIdentifier system{0};
    pg::Segment segment;
    std::uint64_t segment_bytes = 0;
    RunNote run;
    std::uint64_t stored_bytes = 0; ///< of its object, where that is known
};

/// Notes a segment while it is read to be packed, piece by piece, in whatever order several threads read it.
class SegmentScan : public WalObserver {
public:
    explicit SegmentScan(std::string name) : name_(std::move(name)) {}

    void piece(std::uint64_t offset, ByteView bytes) override;
    /// All pieces joined; nothing when they are not the whole of a segment with PostgreSQL's usual page size.
    std::optional<ScannedSegment> result() const;

    /// PostgreSQL can be built with others. Their segments are not noted.
    static constexpr std::uint32_t page_bytes = 8192;

private:
    const std::string name_;
    mutable std::mutex mutex_; ///< guards what follows
    std::map<std::uint64_t, RunNote> pieces_;
    std::optional<pg::WalHeader> header_;
};

} // namespace walgd::archive
