#include "common/archive/wal/wal_catalogue.hpp"

#include "common/archive/chain.hpp"
#include "common/archive/layout.hpp"
#include "common/archive/wal/stored_header.hpp"
#include "common/archive/wal/wal_listing.hpp"
#include "common/pg/wal_name.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace walgd::archive {

namespace {

/// PostgreSQL keeps a line a timeline.
constexpr std::uint64_t listed_history_bytes_max = 1 << 20;

struct ObjectName {
    std::string_view stem; ///< the WAL file's
    const codec::Compression* compression;
};

/// "x.zst" is of method zstd; all whose end is no method's is of none. WAL-G 3.0.8 wrote a trailing dot with method none.
ObjectName split(std::string_view name) {
    const auto dot = name.rfind('.');
    if (dot != std::string_view::npos) {
        if (const auto* method = codec::compression_by_suffix(name.substr(dot + 1))) return {name.substr(0, dot), method};
    }
    return {name, codec::compression_by_suffix("")};
}

/// WAL-G's own: "<segment>_delta", and about WAL files "<segment>.json" or, for sixteen at once, "<23 digits>.json".
bool of_walg(std::string_view name, std::string_view stem) {
    constexpr std::string_view delta = "_delta", about = ".json", digits = "0123456789ABCDEF";
    auto is_segment = [&](std::string_view text, std::size_t length) {
        return text.size() == length && text.find_first_not_of(digits) == std::string_view::npos;
    };
    if (stem.ends_with(delta)) return is_segment(stem.substr(0, stem.size() - delta.size()), pg::segment_digits);
    if (!name.ends_with(about)) return false;
    const auto group = name.substr(0, name.size() - about.size());
    return is_segment(group, pg::segment_digits) || is_segment(group, pg::segment_digits - 1);
}

template <class Number> Number hex(std::string_view digits) {
    Number number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
    return number;
}

} // namespace

bool WalTimeline::has(std::uint64_t number) const {
    const auto after = std::ranges::upper_bound(runs, number, {}, &SegmentRun::first);
    return after != runs.begin() && std::prev(after)->last >= number;
}

void WalTimeline::add(std::uint64_t number, std::uint64_t stored_bytes) {
    ++segments;
    bytes += stored_bytes;
    auto after = std::ranges::upper_bound(runs, number, {}, &SegmentRun::first);
    const bool joins_before = after != runs.begin() && std::prev(after)->last + 1 == number;
    const bool joins_after = after != runs.end() && after->first == number + 1;
    if (joins_before && joins_after) {
        std::prev(after)->last = after->last;
        runs.erase(after);
    } else if (joins_before)
        std::prev(after)->last = number;
    else if (joins_after)
        after->first = number;
    else
        runs.insert(after, {number, number});
}

std::vector<SegmentRun> WalTimeline::gaps() const {
    std::vector<SegmentRun> gaps;
    for (std::size_t index = 1; index < runs.size(); ++index) gaps.push_back({runs[index - 1].last + 1, runs[index].first - 1});
    return gaps;
}

bool WalCatalogue::has(pg::Segment segment) const {
    const auto timeline = timelines.find(segment.timeline);
    return timeline != timelines.end() && timeline->second.has(segment.number);
}

std::optional<pg::TimelineId> WalCatalogue::highest_timeline() const {
    std::optional<pg::TimelineId> highest;
    if (!timelines.empty()) highest = timelines.rbegin()->first;
    for (const auto& name : others) {
        const auto stem = split(name).stem;
        if (pg::wal_file_kind(stem) != pg::WalFileKind::history) continue;
        highest = std::max(highest.value_or(pg::TimelineId(0)),
                           pg::TimelineId(hex<std::uint32_t>(stem.substr(0, pg::timeline_digits))));
    }
    return highest;
}

void WalCollector::add(std::string_view name, std::uint64_t bytes) {
    ++catalogue_.objects;
    catalogue_.bytes += bytes;
    const auto [stem, compression] = split(name);
    const auto kind = pg::wal_file_kind(stem);
    if (kind && bytes == 0) {
        catalogue_.odd.push_back({std::string(name), "is empty"});
        return;
    }
    if (kind) catalogue_.methods.insert(compression);
    if (kind != pg::WalFileKind::segment) {
        catalogue_.others.emplace_back(name);
        if (!kind && !of_walg(name, stem)) catalogue_.odd.push_back({std::string(name), "is no WAL file's object"});
        return;
    }
    entries_[hex<std::uint32_t>(stem.substr(0, pg::timeline_digits))].push_back(
        {hex<std::uint64_t>(stem.substr(pg::timeline_digits)), bytes});
    if (!sample_ || sample_->name < name) sample_ = Sample{std::string(name), compression};
}

void WalCollector::add_folder(std::string_view name) { catalogue_.odd.push_back({std::string(name), "is a folder"}); }

WalCatalogue WalCollector::finish(std::uint64_t segment_bytes) && {
    const auto per_log = (std::uint64_t{1} << 32) / segment_bytes;
    auto& odd = catalogue_.odd;
    auto name_of = [](std::uint32_t timeline, std::uint64_t place) { return fmt::format("{:08X}{:016X}", timeline, place); };
    catalogue_.segment_bytes = segment_bytes;
    for (auto& [id, entries] : entries_) {
        std::ranges::sort(entries, {}, &Entry::place);
        WalTimeline timeline{.id = pg::TimelineId(id), .runs = {}};
        for (const auto& [place, bytes] : entries) {
            const auto log = place >> 32, low = place & 0xFFFFFFFF;
            const auto number = log * per_log + low;
            if (low >= per_log) {
                odd.push_back({name_of(id, place), fmt::format("is no segment where segments have {} MiB", segment_bytes >> 20)});
                continue;
            }
            timeline.bytes += bytes;
            if (!timeline.runs.empty() && timeline.runs.back().last == number) {
                odd.push_back({name_of(id, place), "is there more than once, under several suffixes"});
                continue;
            }
            ++timeline.segments;
            if (!timeline.runs.empty() && timeline.runs.back().last + 1 == number)
                timeline.runs.back().last = number;
            else
                timeline.runs.push_back({number, number});
        }
        entries = {};
        if (timeline.segments != 0) catalogue_.timelines.emplace(timeline.id, std::move(timeline));
    }
    std::ranges::sort(odd, {}, &OddObject::name);
    // A folder at the end of a page may come again with the next place.
    odd.erase(std::unique(odd.begin(), odd.end()), odd.end());
    std::ranges::sort(catalogue_.others);
    return std::move(catalogue_);
}

namespace {

/// What the header of one segment says; 0 when none can be read.
awaitable<std::uint64_t> segment_bytes_of(Archive& archive, WalCollector::Sample sample) {
    const storage::ObjectKey key(std::string(wal_folder) + sample.name);
    std::string why = "there is no key to decrypt " + key.path();
    try {
        if (archive.packing.cipher == nullptr || archive.packing.cipher->can_decrypt()) {
            const auto header = co_await stored_wal_header(archive, key, sample.compression);
            if (header) co_return header->segment_bytes;
            why = key.path() + " is too short for a segment";
        }
    } catch (const Error& error) {
        // No answer is no reason to guess.
        if (error.kind() != ErrorKind::corrupt && error.kind() != ErrorKind::refused) throw;
        why = error.what();
    }
    archive.log.warn(
        "WAL segments are taken to have 16 MiB, since the header of one cannot be read: {}. WALG_PG_WAL_SIZE tells their size "
        "(in MiB)",
        why);
    co_return 0;
}

} // namespace

awaitable<WalCollector> collect_wal(storage::Storage& storage, unsigned at_once) {
    WalCollector collector;
    WalVisitor visitor{.object =
                           [&](const storage::ObjectInfo& object) {
                               collector.add(std::string_view(object.key.path()).substr(wal_folder.size()), object.bytes);
                           },
                       .folder = [&](std::string_view name) { collector.add_folder(name); }};
    co_await visit_wal(storage, at_once, std::move(visitor));
    co_return collector;
}

awaitable<WalCatalogue> list_wal(Archive& archive, std::uint64_t segment_bytes, unsigned at_once) {
    auto collector = co_await collect_wal(archive.storage, at_once);
    if (segment_bytes == 0 && collector.sample()) {
        segment_bytes = co_await segment_bytes_of(archive, *collector.sample());
    }
    co_return std::move(collector).finish(segment_bytes == 0 ? pg::segment_bytes_default : segment_bytes);
}

awaitable<std::optional<pg::TimelineHistory>> stored_history(Archive& archive, pg::TimelineId timeline,
                                                             std::vector<std::string> others) {
    const auto file = pg::history_name(timeline);
    const auto found = std::ranges::find_if(others, [&](const std::string& name) { return split(name).stem == file; });
    if (found == others.end()) co_return std::nullopt;
    const storage::ObjectKey key(std::string(wal_folder) + *found);
    const auto packed = co_await storage::get_whole(archive.storage, key, listed_history_bytes_max);
    if (!packed) co_return std::nullopt;
    Blob text(listed_history_bytes_max);
    codec::MemorySink end(text.room());
    UnpackChain chain(archive.packing.cipher, *split(*found).compression, end);
    try {
        chain.head().write(packed->view());
        chain.head().finish();
    } catch (const Error& error) {
        throw error.within(key.path());
    }
    text.commit(end.count());
    co_return pg::parse_timeline_history(text_of(text.view()), timeline, key.path());
}

} // namespace walgd::archive
