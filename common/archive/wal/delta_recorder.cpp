#include "common/archive/wal/delta_recorder.hpp"

#include "common/archive/chain.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal/segment_files.hpp"
#include "common/base/in_quotes.hpp"
#include "common/base/mapped_file.hpp"
#include "common/pg/delta_object.hpp"
#include "common/pg/wal_blocks.hpp"
#include "common/pg/wal_page.hpp"
#include "common/pg/wal_records.hpp"

#include <fmt/format.h>
#include <utility>

namespace walgd::archive {

namespace {

class BlobSink : public codec::Sink {
public:
    void write(ByteView bytes) override { blob.append(bytes); }
    void finish() override {}
    Blob blob;
};

/// Follows the WAL of a group, and packs what it changed segment by segment.
class GroupReader {
public:
    GroupReader(Archive& archive, SegmentFiles& files, DeltaGroup group)
        : archive_(archive), files_(files), group_(group), first_(group.number * pg::delta_group_segments),
          chain_(archive.packing, codec::Content::pages, packed_) {}

    awaitable<void> read() {
        start_ = co_await find_begin();
        end_ = start_;
        const pg::Lsn group_end((first_ + pg::delta_group_segments) * group_.segment_bytes);
        pg::BlockChanges changes;
        pg::WalBlockReader reader(start_, group_end, changes);
        put(pg::delta_object_begin(system_));
        for (auto number = pg::segment_number(start_, group_.segment_bytes); number < first_ + pg::delta_group_segments;
             ++number) {
            const auto name = name_of(number);
            auto file = co_await files_.open(name);
            auto work = [&] {
                const MappedFile content(std::move(file), name);
                reader.segment(content.view(), name);
                put(pg::delta_object_section({end_, std::exchange(changes, {})}));
                end_ = reader.whole_until();
            };
            co_await run_on(archive_.cpu, std::move(work));
        }
        put(pg::delta_object_end(end_, reader.open_record()));
        chain_.head().finish();
    }
    /// The object's content, once it was read.
    ByteView packed() const { return packed_.blob.view(); }
    pg::Lsn start() const { return start_; }
    pg::Lsn end() const { return end_; }

private:
    void put(const std::string& text) { chain_.head().write(bytes_of(text)); }
    std::string name_of(std::uint64_t number) const { return pg::segment_name({group_.timeline, number}, group_.segment_bytes); }

    /// Of the first record that no group before has: the one that goes on into this group, if one does.
    awaitable<pg::Lsn> find_begin() {
        const auto first = name_of(first_);
        auto file = co_await files_.open(first);
        const MappedFile content(std::move(file), first);
        const auto head = content.view().first(std::min(content.view().size(), pg::wal_header_bytes));
        const auto header = pg::parse_wal_header(head, first);
        system_ = header.system;
        if (!pg::begins_within_record(head)) co_return header.address;
        const auto begin = co_await find_begin_before();
        co_return begin;
    }

    awaitable<pg::Lsn> find_begin_before() {
        const auto before = name_of(first_ - 1);
        auto file = co_await files_.open(before);
        auto work = [&] {
            const MappedFile content(std::move(file), before);
            return pg::cut_record(content.view(), before);
        };
        const auto begin = co_await run_on(archive_.cpu, std::move(work));
        if (!begin)
            throw Error(ErrorKind::corrupt,
                        fmt::format("the record that goes on in {} does not begin in {}", name_of(first_), before));
        co_return *begin;
    }

    Archive& archive_;
    SegmentFiles& files_;
    const DeltaGroup group_;
    const std::uint64_t first_; ///< its first segment's number
    pg::SystemIdentifier system_{0};
    pg::Lsn start_{0}, end_{0}; ///< what was followed so far
    BlobSink packed_;
    PackChain chain_;
};

awaitable<void> write_map(Archive& archive, SegmentFiles& files, DeltaGroup group) {
    GroupReader reader(archive, files, group);
    co_await reader.read();
    const auto key = wal_key(group.object_name(), archive.packing.compression->suffix());
    co_await archive.storage.put(key, reader.packed(), {});
    archive.log.info("event=delta_map_written key={} from={} to={} bytes={}", key.path(), reader.start().text(),
                     reader.end().text(), reader.packed().size());
}

/// The one before: its own end was the time for it, and what has become of it since is told, not mended.
awaitable<void> make_up_for(Archive& archive, SegmentFiles& files, DeltaGroup group) {
    std::optional<Error> failure;
    try {
        co_await write_map(archive, files, group);
    } catch (const Error& error) {
        failure = error;
    }
    if (!failure) co_return;
    if (failure->kind() == ErrorKind::transient || failure->kind() == ErrorKind::cancelled) throw *failure;
    archive.log.info("event=delta_map_missing name={} error={}", group.object_name(), in_quotes(failure->what()));
}

} // namespace

std::optional<DeltaGroup> DeltaGroup::ended_by(std::string_view name, std::uint64_t file_bytes) {
    if (pg::wal_file_kind(name) != pg::WalFileKind::segment || !pg::valid_segment_bytes(file_bytes)) return std::nullopt;
    const auto segment = pg::parse_segment(name, file_bytes);
    if (!segment || (segment->number + 1) % pg::delta_group_segments != 0) return std::nullopt;
    return DeltaGroup{segment->timeline, segment->number / pg::delta_group_segments, file_bytes};
}

std::string DeltaGroup::object_name() const { return pg::delta_object_name(timeline, number, segment_bytes); }

awaitable<void> record_group(Archive& archive, std::string pg_wal, DeltaGroup group, bool replace) {
    SegmentFiles files(archive, std::move(pg_wal));
    WalFinder finder(archive);
    const DeltaGroup before{group.timeline, group.number - 1, group.segment_bytes};
    // The very first one lacks segment 0, which PostgreSQL never writes.
    if (group.number > 1) {
        const auto there = co_await finder.find(before.object_name());
        if (!there) {
            co_await make_up_for(archive, files, before);
        }
    }
    if (group.number == 0) co_return;
    if (!replace) {
        const auto there = co_await finder.find(group.object_name());
        if (there) co_return;
    }
    co_await write_map(archive, files, group);
}

} // namespace walgd::archive
