#include "common/archive/wal/receive_start.hpp"

#include "common/archive/layout.hpp"
#include "common/codec/compression.hpp"

#include <algorithm>

namespace walgd::archive {

namespace {

pg::Lsn rounded_down(pg::Lsn lsn, std::uint64_t segment_bytes) { return pg::Lsn(lsn.bytes() - lsn.bytes() % segment_bytes); }

/// The segment whose plain object is called `file`; nothing for all that is no whole segment.
std::optional<pg::Segment> segment_of(std::string_view file, std::uint64_t segment_bytes) {
    const auto dot = std::min(file.find('.'), file.size());
    const auto suffix = file.substr(std::min(dot + 1, file.size()));
    if (pg::wal_file_kind(file.substr(0, dot)) != pg::WalFileKind::segment || codec::compression_by_suffix(suffix) == nullptr)
        return std::nullopt;
    return pg::parse_segment(file, segment_bytes);
}

/// The timeline to ask for at `start`. The server goes by its history's lines as they are: where a turn follows that has no part
/// in the history, it does not end the timeline where that was left. The segment's last timeline has the whole of the segment.
pg::TimelineId timeline_from(const pg::TimelineHistory& history, pg::Lsn start, std::uint64_t segment_bytes) {
    const auto timeline = history.timeline_at(start);
    const auto left = std::ranges::find(history.past, timeline, &pg::PastTimeline::timeline);
    const bool ends_there = left == history.past.end() || left + 1 == history.past.end() || (left + 1)->end > left->end;
    return ends_there ? timeline : history.timeline_at(pg::Lsn(start.bytes() + segment_bytes - 1));
}

/// The start of what follows the newest stored segment, on the youngest timeline of the history that has any. What was stored
/// of a timeline after it was left (by a server that did not know) is no part of the history.
std::optional<pg::Lsn> after_stored(const ReceiveFacts& facts) {
    auto after = [&](pg::TimelineId timeline, pg::Lsn end) -> std::optional<pg::Lsn> {
        const auto newest = facts.stored.find(timeline);
        if (newest == facts.stored.end()) return std::nullopt;
        const pg::Lsn next((newest->second + 1) * facts.segment_bytes);
        return std::min(next, rounded_down(end, facts.segment_bytes));
    };
    if (const auto current = after(facts.history.timeline, facts.flushed)) return current;
    for (auto past = facts.history.past.rbegin(); past != facts.history.past.rend(); ++past) {
        if (const auto found = after(past->timeline, past->end)) return found;
    }
    return std::nullopt;
}

} // namespace

awaitable<NewestSegments> newest_segments(Archive& archive, std::uint64_t segment_bytes) {
    NewestSegments newest;
    storage::ListOptions options;
    do {
        const auto page = co_await archive.storage.list(std::string(wal_folder), options);
        for (const auto& object : page.objects) {
            const auto segment = segment_of(std::string_view(object.key.path()).substr(wal_folder.size()), segment_bytes);
            if (segment) newest[segment->timeline] = std::max(newest[segment->timeline], segment->number);
        }
        options.token = page.next;
    } while (options.token);
    co_return newest;
}

WalPosition choose_start(const ReceiveFacts& facts) {
    const auto stored = facts.accept_gap ? std::nullopt : after_stored(facts);
    auto start = rounded_down(facts.flushed, facts.segment_bytes);
    if (facts.slot) start = rounded_down(*facts.slot, facts.segment_bytes);
    if (stored && (!facts.slot || *stored < start)) start = *stored;
    return {timeline_from(facts.history, start, facts.segment_bytes), start};
}

} // namespace walgd::archive
