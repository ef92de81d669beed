#include "common/archive/wal/wal_integrity.hpp"

#include <cstdlib>

/// A listing of wal_005/, a name a line; the first byte: the segment size. No segment is counted twice or lost between the gaps,
/// and a check ends.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    if (size == 0) return 0;
    const auto segment_bytes = std::uint64_t{1} << (20 + data[0] % 11);
    std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    archive::WalCollector collector;
    std::uint64_t names = 0;
    for (; !text.empty(); ++names) {
        const auto name = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(name.size() + 1, text.size()));
        collector.add(name, name.size() % 5);
    }
    const auto wal = std::move(collector).finish(segment_bytes);
    std::uint64_t segments = 0;
    for (const auto& [id, timeline] : wal.timelines) {
        std::uint64_t counted = 0, missing = 0;
        for (const auto& run : timeline.runs) counted += run.count();
        for (const auto& gap : timeline.gaps()) missing += gap.count();
        if (counted != timeline.segments || counted + missing != timeline.last() - timeline.first() + 1) std::abort();
        if (!wal.has({id, timeline.first()}) || !wal.has({id, timeline.last()})) std::abort();
        segments += counted;
        const auto from = timeline.last() - std::min<std::uint64_t>(timeline.last(), 1000);
        const auto runs = archive::check_segments(wal, {{timeline.last(), id}}, {id, timeline.last() + 1}, from, {});
        static_cast<void>(archive::status_of(runs, true));
    }
    if (wal.objects != names || segments > names) std::abort();
    static_cast<void>(wal.highest_timeline());
    return 0;
}
