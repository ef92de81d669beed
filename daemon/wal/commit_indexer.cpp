#include "daemon/wal/commit_indexer.hpp"
#include "common/base/in_quotes.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <random>

namespace walgd::daemon {

namespace {

constexpr std::chrono::seconds interval{60};

std::string writer_name(const archive::Archive& archive) {
    if (archive.packing.cipher == nullptr || archive.packing.cipher->can_decrypt()) return {};
    std::random_device dice;
    return fmt::format("{:08x}", dice());
}

pg::Segment neighbour(pg::Segment segment, std::int64_t distance) {
    return {segment.timeline, segment.number + static_cast<std::uint64_t>(distance)};
}

} // namespace

CommitIndexer::CommitIndexer(archive::Archive& archive) : archive_(archive), writer_(writer_name(archive)), many_(archive.io) {}

void CommitIndexer::add(std::shared_ptr<const archive::SegmentScan> scan, std::uint64_t stored_bytes) {
    // The one who pushed it has its answer first.
    asio::post(archive_.io, [this, scan = std::move(scan), stored_bytes] {
        auto scanned = scan->result();
        if (!scanned) return;
        scanned->stored_bytes = stored_bytes;
        note(std::move(*scanned));
    });
}

void CommitIndexer::note(archive::ScannedSegment scanned) {
    ++counters_.noted;
    join_neighbours(scanned);
    put(scanned);
    edges_.insert_or_assign(scanned.segment, std::move(scanned));
    if (edges_.size() > edges_max) edges_.erase(edges_.begin());
    if (++unwritten_ >= unwritten_max) many_.notify();
}

/// Segments may be stored in any order.
void CommitIndexer::join_neighbours(archive::ScannedSegment& scanned) {
    const auto next = edges_.find(neighbour(scanned.segment, 1));
    if (next != edges_.end() && next->second.system == scanned.system && scanned.run.open_left > 0)
        scanned.run.join(next->second.run.head_only());
    const auto before = edges_.find(neighbour(scanned.segment, -1));
    if (before == edges_.end() || before->second.system != scanned.system || before->second.run.open_left == 0) return;
    before->second.run.join(scanned.run.head_only());
    put(before->second);
}

void CommitIndexer::put(const archive::ScannedSegment& scanned) {
    const auto place = archive::IndexPlace::of(scanned.segment);
    auto& block = blocks_[place];
    const bool other = block.notes.system != scanned.system || block.notes.segment_bytes != scanned.segment_bytes;
    if (other) block.notes = {scanned.system, scanned.segment.timeline, scanned.segment_bytes, {}};
    auto note = scanned.run.closed();
    note.stored_bytes = scanned.stored_bytes;
    archive::put_note(block.notes, scanned.segment.number, std::move(note));
    block.changed = ++change_;
    if (blocks_.size() > blocks_max) forget_oldest();
}

void CommitIndexer::forget_oldest() {
    const auto oldest = std::ranges::min_element(
        blocks_, {}, [](const auto& one) { return std::pair(one.second.changed > one.second.written, one.second.changed); });
    blocks_.erase(oldest);
}

std::optional<archive::IndexPlace> CommitIndexer::unwritten() const {
    for (const auto& [place, block] : blocks_) {
        if (block.changed > block.written) return place;
    }
    return std::nullopt;
}

awaitable<void> CommitIndexer::merge_with_stored(archive::IndexPlace place) {
    const auto* compression = archive_.packing.compression;
    const archive::IndexObject object{archive::index_key(place, {}, compression->suffix()), place, compression};
    std::optional<archive::NoteBlock> there;
    std::optional<Error> failure;
    try {
        there = co_await archive::read_index(archive_, object);
    } catch (const Error& error) {
        failure = error;
    }
    if (failure && failure->kind() != ErrorKind::corrupt) throw *failure;
    if (failure) archive_.log.warn("event=commit_index_replaced error={}", in_quotes(failure->what()));
    auto& block = blocks_[place];
    if (!there || there->system != block.notes.system || there->segment_bytes != block.notes.segment_bytes) co_return;
    archive::merge(*there, block.notes);
    block.notes = std::move(*there);
}

awaitable<void> CommitIndexer::write(archive::IndexPlace place) {
    // Each time: another host may archive the same WAL, and have written its own part since.
    if (writer_.empty()) {
        co_await merge_with_stored(place);
    }
    auto& block = blocks_[place];
    const auto changed = block.changed;
    auto notes = block.notes;
    co_await archive::write_index(archive_, std::move(notes), writer_);
    ++counters_.written;
    // It may have been forgotten meanwhile.
    if (const auto found = blocks_.find(place); found != blocks_.end()) found->second.written = changed;
}

awaitable<void> CommitIndexer::flush() {
    unwritten_ = 0;
    for (auto place = unwritten(); place; place = unwritten()) {
        co_await write(*place);
    }
}

awaitable<void> CommitIndexer::run() {
    for (;;) {
        co_await many_.wait(Clock::now() + interval);
        std::optional<Error> failure;
        try {
            co_await flush();
        } catch (...) {
            failure = as_error(std::current_exception()); // none may end this
        }
        if (!failure) continue;
        if (failure->kind() == ErrorKind::cancelled) throw *failure;
        ++counters_.failed;
        archive_.log.warn("event=commit_index_not_written error={} hint=\"it is tried again, and can be made from the WAL: walg "
                          "restorable --rebuild\"",
                          in_quotes(failure->what()));
    }
}

} // namespace walgd::daemon
