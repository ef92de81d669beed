#include "common/backup/restore/archive_wal.hpp"

#include "common/archive/wal/wal_read.hpp"
#include "common/pg/wal_records.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace walgd::backup {

namespace {

/// Only the records that begin in one segment, and are whole.
class OfSegment : public pg::RecordSink {
public:
    OfSegment(std::string name, pg::Lsn end, pg::RecordSink& sink) : name_(std::move(name)), end_(end), sink_(sink) {}
    void record(const pg::RecordHeader& header, pg::Lsn end, ByteView bytes) override {
        if (header.begin >= end_) return;
        // Of one that is longer than what is kept, recovery will tell.
        if (bytes.size() == header.length && !pg::record_checksum_right(bytes))
            throw Error(ErrorKind::corrupt, fmt::format("the record at LSN {} in {} is damaged", header.begin.text(), name_),
                        "recovery ends before it: restore to a moment before");
        sink_.record(header, end, bytes);
    }

private:
    const std::string name_;
    const pg::Lsn end_;
    pg::RecordSink& sink_;
};

void require_own(const std::string& name, const pg::WalHeader& header, std::optional<pg::SystemIdentifier> system) {
    if (!system || header.system == *system) return;
    throw Error(ErrorKind::corrupt,
                fmt::format("{} is of the cluster {}, the archive is of {}", name, header.system.number(), system->number()),
                "recovery cannot go on over it: restore to a moment before it");
}

/// Feeds pieces of neighbouring segments to one scan.
class PageFeed {
public:
    PageFeed(std::string name, std::optional<pg::SystemIdentifier> system, pg::Wanted wanted, pg::RecordSink& sink)
        : name_(std::move(name)), system_(system), wanted_(wanted), sink_(sink) {}

    void piece(std::uint64_t offset, ByteView bytes) {
        if (!scan_) begin(offset, bytes);
        for (; bytes.size() >= header_.page_bytes; bytes = bytes.subspan(header_.page_bytes))
            scan_->page(bytes.first(header_.page_bytes));
    }
    /// A record goes on behind what came, and may be wanted.
    bool open() const { return scan_ && !scan_->ended() && scan_->within_record() && !scan_->open_record().empty(); }
    bool ended() const { return scan_ && scan_->ended(); }
    std::function<void(int version)> version;

private:
    void begin(std::uint64_t offset, ByteView bytes) {
        if (offset != 0) throw Error(ErrorKind::corrupt, fmt::format("{} does not begin at its begin", name_));
        header_ = pg::parse_wal_header(bytes.first(std::min(bytes.size(), pg::wal_header_bytes)), name_);
        pg::check_page_bytes(header_, name_);
        pg::check_wal_header(header_, name_, header_.segment_bytes);
        require_own(name_, header_, system_);
        if (version) version(pg::read_as_version(header_.magic));
        scan_.emplace(pg::RecordScan::Start{header_.address, header_.magic, header_.page_bytes, wanted_}, sink_);
    }
    const std::string name_;
    const std::optional<pg::SystemIdentifier> system_;
    const pg::Wanted wanted_;
    pg::RecordSink& sink_;
    pg::WalHeader header_;
    std::optional<pg::RecordScan> scan_;
};

} // namespace

ArchiveWal::ArchiveWal(archive::Archive& archive, const LoadedView& loaded, bool use_index, std::stop_token stop)
    : archive_(archive), view_(loaded.view), stored_bytes_(loaded.stored_bytes), system_(loaded.system), use_index_(use_index),
      stop_(std::move(stop)), finder_(std::make_unique<archive::WalFinder>(archive)) {}

ArchiveWal::~ArchiveWal() { const OnIoThread handed_over(archive_.io, std::move(finder_)); }

void ArchiveWal::load(archive::IndexPlace place) {
    if (!use_index_ || blocks_.contains(place)) return;
    if (!objects_) objects_ = run_blocking(archive_.io, archive::list_index(archive_), stop_);
    auto& block = blocks_[place];
    for (const auto& object : *objects_) {
        if (object.place != place) continue;
        try {
            const auto there = run_blocking(archive_.io, archive::read_index(archive_, object), stop_);
            const bool ours = there && there->segment_bytes == view_.segment_bytes && (!system_ || there->system == *system_);
            if (ours) archive::merge(block, *there);
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt) throw;
            archive_.log.warn("{}; the WAL is read instead", error.what());
        }
    }
    const auto of_other_wal =
        std::erase_if(block.notes, [&](const auto& one) { return !is_of(one.second, {place.timeline, one.first}); });
    if (of_other_wal > 0)
        archive_.log.warn("the commit-time index is of other objects than are stored, for {} segments from {} on: they are read "
                          "instead; walg restorable --rebuild notes them anew",
                          of_other_wal, name_of({place.timeline, place.block * archive::index_block_segments}));
}

bool ArchiveWal::is_of(const archive::WalNote& note, pg::Segment segment) const {
    if (note.stored_bytes == 0) return true; // nobody knows
    const auto [first, last] =
        std::ranges::equal_range(stored_bytes_, segment, {}, &std::pair<pg::Segment, std::uint64_t>::first);
    return first == last || std::ranges::any_of(first, last, [&](const auto& one) { return one.second == note.stored_bytes; });
}

std::optional<archive::WalNote> ArchiveWal::indexed(pg::Segment segment) {
    load(archive::IndexPlace::of(segment));
    return find(segment);
}

std::optional<archive::WalNote> ArchiveWal::find(pg::Segment segment) {
    const auto& notes = blocks_[archive::IndexPlace::of(segment)].notes;
    const auto found = std::ranges::lower_bound(notes, segment.number, {}, [](const auto& one) { return one.first; });
    if (found == notes.end() || found->first != segment.number) return std::nullopt;
    return found->second;
}

awaitable<std::optional<archive::RunNote>> ArchiveWal::scanned(pg::Segment segment, std::optional<pg::Segment> next) {
    const auto name = name_of(segment);
    archive::SegmentScan scan(name);
    std::optional<pg::WalHeader> header;
    std::uint64_t bytes = 0;
    archive::TakeWal take = [&](std::uint64_t offset, ByteView piece) {
        if (offset == 0) header = pg::parse_wal_header(piece.first(std::min(piece.size(), pg::wal_header_bytes)), name);
        bytes += piece.size();
        scan.piece(offset, piece);
        return true;
    };
    const bool there = co_await archive::read_wal(archive_, *finder_, name, std::move(take));
    ++segments_read_;
    if (!there) co_return std::nullopt;
    if (!header) throw Error(ErrorKind::corrupt, fmt::format("{} is empty", name));
    pg::check_wal_header(*header, name, bytes);
    require_own(name, *header, system_);
    auto result = scan.result();
    if (!result) co_return std::nullopt;
    auto& run = result->run;
    archive::TakeWal take_head = [&run](std::uint64_t, ByteView piece) {
        run.join(archive::RunNote::of(piece, run.end(), archive::SegmentScan::page_bytes).head_only());
        return run.open_left > 0 && !run.note.ended;
    };
    try {
        if (next && run.open_left > 0 && !run.open.bytes.empty()) {
            co_await archive::read_wal(archive_, *finder_, name_of(*next), std::move(take_head));
        }
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw; // of this segment's own damage its own note tells
    }
    co_return std::move(run);
}

archive::WalNote ArchiveWal::note(pg::Segment segment, std::optional<pg::Segment> next) {
    const auto known = indexed(segment);
    // One that lacks something may have been made before the segment behind it was there.
    const bool enough = known && (known->complete || !next || asked_of_wal_.contains(segment));
    if (enough) return *known;
    asked_of_wal_.insert(segment);
    keep(segment, run_blocking(archive_.io, scanned(segment, next), stop_));
    return *find(segment);
}

void ArchiveWal::read(pg::Segment segment, std::optional<pg::Segment> next, pg::Wanted wanted, pg::RecordSink& sink,
                      std::function<bool()> enough, std::function<void(int version)> version) {
    OfSegment of_segment(name_of(segment), pg::Lsn((segment.number + 1) * view_.segment_bytes), sink);
    PageFeed feed(name_of(segment), system_, wanted, of_segment);
    feed.version = std::move(version);
    archive::TakeWal take = [&](std::uint64_t offset, ByteView piece) {
        feed.piece(offset, piece);
        return !enough() && !feed.ended();
    };
    const bool there = run_blocking(archive_.io, archive::read_wal(archive_, *finder_, name_of(segment), std::move(take)), stop_);
    ++segments_read_;
    if (!there)
        throw Error(ErrorKind::corrupt, fmt::format("{} was listed, and is not there any more", name_of(segment)),
                    "is something deleting from this archive? Try again");
    if (!next || enough() || !feed.open()) return;
    // Of the next one only the record that goes on in it.
    archive::TakeWal take_rest = [&](std::uint64_t offset, ByteView piece) {
        feed.piece(offset, piece);
        return !enough() && feed.open();
    };
    run_blocking(archive_.io, archive::read_wal(archive_, *finder_, name_of(*next), std::move(take_rest)), stop_);
}

void ArchiveWal::show(pg::Segment segment, std::optional<pg::Segment> next, StopFinder& finder) {
    read(
        segment, next, finder.wanted(), finder, [&finder] { return finder.stop().has_value(); },
        [&finder](int version) { finder.set_version(version); });
}

void ArchiveWal::keep(pg::Segment segment, const std::optional<archive::RunNote>& run) {
    archive::WalNote note;
    note.complete = false;
    if (run) note = run->closed();
    const auto stored = std::ranges::equal_range(stored_bytes_, segment, {}, &std::pair<pg::Segment, std::uint64_t>::first);
    if (stored.size() == 1) note.stored_bytes = stored.front().second;
    const auto place = archive::IndexPlace::of(segment);
    auto& block = blocks_[place];
    block.timeline = segment.timeline;
    block.segment_bytes = view_.segment_bytes;
    block.system = system_.value_or(pg::SystemIdentifier(0));
    archive::put_note(block, segment.number, note);
    changed_.insert(place);
}

awaitable<void> ArchiveWal::rebuild_one(pg::Segment segment) {
    std::optional<pg::Segment> next(pg::Segment{segment.timeline, segment.number + 1});
    if (!view_.has(*next)) next.reset();
    try {
        const auto run = co_await scanned(segment, next);
        keep(segment, run);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        archive_.log.warn("the commit-time index lacks {}: {}", name_of(segment), error.what());
    }
}

awaitable<void> ArchiveWal::rebuild_all(std::vector<pg::Segment> segments, unsigned at_once, Progressed progressed) {
    std::size_t next = 0, done = 0;
    std::exception_ptr failure;
    auto work = [&]() -> awaitable<void> {
        while (next < segments.size() && !failure && !stop_.stop_requested()) {
            const auto segment = segments[next++];
            co_await rebuild_one(segment);
            progressed(++done, segments.size());
        }
    };
    TaskGroup workers(archive_.io, [&failure](std::exception_ptr what) { failure = what; });
    for (unsigned index = 0; index < at_once; ++index) workers.spawn(work());
    co_await workers.join();
    if (failure) std::rethrow_exception(failure);
    if (stop_.stop_requested()) throw Error(ErrorKind::cancelled, "cancelled");
}

std::uint64_t ArchiveWal::rebuild(unsigned at_once, Progressed progressed) {
    std::vector<pg::Segment> segments;
    for (const auto& segment : view_.segments) {
        const auto known = indexed(segment);
        if (!known || !known->complete) segments.push_back(segment);
    }
    const auto count = segments.size();
    changed_.clear();
    // By objects of the index, so that what is done is kept when it is cut off.
    while (!segments.empty()) {
        const auto place = archive::IndexPlace::of(segments.front());
        const auto end = std::ranges::find_if(segments, [&](const auto& one) { return archive::IndexPlace::of(one) != place; });
        std::vector<pg::Segment> some(segments.begin(), end);
        segments.erase(segments.begin(), end);
        run_blocking(archive_.io, rebuild_all(std::move(some), at_once, progressed), stop_);
        for (const auto& changed : changed_)
            run_blocking(archive_.io, archive::write_index(archive_, blocks_[changed], {}), stop_);
        changed_.clear();
    }
    return count;
}

} // namespace walgd::backup
