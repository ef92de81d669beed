#include "common/archive/wal/wal_assembler.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <cassert>
#include <fmt/format.h>

namespace walgd::archive {

WalAssembler::WalAssembler(WalPosition start, std::uint64_t segment_bytes, MemoryBudget& budget, std::stop_token stop)
    : segment_bytes_(segment_bytes), budget_(budget), stop_(std::move(stop)),
      segment_{start.timeline, pg::segment_number(start.lsn, segment_bytes)}, position_(start.lsn) {
    assert(position_ == pg::segment_start(segment_, segment_bytes_));
}

std::size_t WalAssembler::take(pg::Lsn at, ByteView wal) {
    if (at != position_)
        throw Error(ErrorKind::protocol,
                    fmt::format("the server sent the WAL from {} where that from {} was to follow", at.text(), position_.text()));
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(wal.size(), segment_bytes_ - filled_));
    if (count == 0) return 0;
    if (!file_) file_.emplace(segment_bytes_, budget_, stop_);
    file_->write(filled_, wal.first(count));
    filled_ += count;
    position_ = pg::Lsn(position_.bytes() + count);
    return count;
}

SegmentFile WalAssembler::release() {
    assert(file_);
    auto file = std::move(*file_);
    file_.reset();
    filled_ = 0;
    ++segment_.number;
    return file;
}

} // namespace walgd::archive
