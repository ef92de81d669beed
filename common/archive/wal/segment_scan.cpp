#include "common/archive/wal/segment_scan.hpp"

#include "common/base/error.hpp"
#include "common/base/little_endian.hpp"

#include <algorithm>

namespace walgd::archive {

void SegmentScan::piece(std::uint64_t offset, ByteView bytes) {
    constexpr std::size_t address_at = 8;
    {
        // A piece may be read twice, once to be hashed and once to be packed.
        const std::lock_guard lock(mutex_);
        if (bytes.size() < page_bytes || bytes.size() % page_bytes != 0 || pieces_.contains(offset)) return;
    }
    auto run = RunNote::of(bytes, pg::Lsn(number_at<std::uint64_t>(bytes, address_at)), page_bytes);
    const std::lock_guard lock(mutex_);
    pieces_.emplace(offset, std::move(run));
    if (offset != 0) return;
    try {
        header_ = pg::parse_wal_header(bytes.first(pg::wal_header_bytes), name_);
    } catch (const Error&) { // no segment: result() says so
    }
}

std::optional<ScannedSegment> SegmentScan::result() const {
    const std::lock_guard lock(mutex_);
    if (!header_ || header_->page_bytes != page_bytes || pieces_.empty()) return std::nullopt;
    const auto segment = pg::parse_segment(name_, header_->segment_bytes);
    if (!segment || pg::wal_file_kind(name_) != pg::WalFileKind::segment) return std::nullopt;
    ScannedSegment scanned{header_->system, *segment, header_->segment_bytes, {}};
    std::uint64_t offset = 0;
    for (const auto& [at, run] : pieces_) {
        if (at != offset) return std::nullopt;
        if (offset == 0)
            scanned.run = run;
        else if (run.at == scanned.run.end() && run.magic == scanned.run.magic)
            scanned.run.join(run);
        else
            scanned.run.note.ended = true; // old pages of a recycled file
        offset += run.bytes;
        if (scanned.run.note.ended) scanned.run.bytes = offset;
    }
    if (offset != header_->segment_bytes || scanned.run.at != pg::segment_start(*segment, header_->segment_bytes))
        return std::nullopt;
    return scanned;
}

} // namespace walgd::archive
