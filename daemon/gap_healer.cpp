#include "daemon/gap_healer.hpp"

#include "common/base/files.hpp"
#include "common/base/in_quotes.hpp"
#include "common/pg/wal_page.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::daemon {

namespace {

/// Of one gap: more have long been recycled.
constexpr std::uint64_t segments_max = 10'000;

} // namespace

std::vector<archive::CheckedRun> gaps_of(const ArchiveView& view) {
    std::vector<archive::CheckedRun> gaps;
    for (const auto& run : view.runs) {
        if (run.state != archive::SegmentState::found) gaps.push_back(run);
    }
    return gaps;
}

/// A standby may be receiving the segment: then its header is right, and its end is what the file held before. Only when the next
/// one has begun it is whole.
bool GapHealer::is_whole(pg::Segment segment, std::uint64_t segment_bytes) const {
    const auto next = pg::segment_name({segment.timeline, segment.number + 1}, segment_bytes);
    const auto path = pgdata_ + "/pg_wal/" + next;
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd) return false;
    std::byte bytes[pg::wal_header_bytes];
    try {
        const auto count = read_at(fd.get(), bytes, 0, path);
        pg::check_wal_header(pg::parse_wal_header({bytes, count}, path), next, segment_bytes);
    } catch (const Error&) {
        return false; // not written yet, or one that is to be used again
    }
    return true;
}

awaitable<bool> GapHealer::store(pg::Segment segment, std::uint64_t segment_bytes) {
    if (pgdata_.empty() || !is_whole(segment, segment_bytes)) co_return false;
    const auto name = pg::segment_name(segment, segment_bytes);
    UniqueFd fd(::open((pgdata_ + "/pg_wal/" + name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd) co_return false;
    std::exception_ptr failure;
    try {
        co_await wal_.push(name, std::move(fd));
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        if (as_error(failure).kind() == ErrorKind::cancelled) std::rethrow_exception(failure);
        co_return false; // the push has told why
    }
    log_.info("event=wal_gap_healed segment={}", name);
    co_return true;
}

awaitable<std::size_t> GapHealer::heal(std::vector<archive::CheckedRun> missing, std::uint64_t segment_bytes, bool backup_since) {
    // What is missing no more is forgotten: it may be lost again.
    std::set<std::string> stored, told;
    for (const auto& gap : missing) {
        auto left = gap.segments.count();
        const auto end = gap.segments.first + std::min(left, segments_max);
        for (auto number = gap.segments.first; number < end; ++number) {
            const pg::Segment segment{gap.timeline, number};
            auto name = pg::segment_name(segment, segment_bytes);
            bool there = stored_.contains(name);
            if (!there) {
                there = co_await store(segment, segment_bytes);
                if (there) stored.insert(std::move(name));
            }
            left -= there ? 1 : 0;
        }
        const auto first = pg::segment_name({gap.timeline, gap.segments.first}, segment_bytes);
        if (left == 0) continue;
        told.insert(first);
        if (told_.contains(first)) continue;
        const auto cost = fmt::format("no moment after it can be reached from a base backup before it; {}",
                                      backup_since ? "a base backup since then can be recovered" : "take a full base backup now");
        log_.error("event=wal_gap first={} segments={} text={}", first, left, in_quotes(cost));
        hooks_.notify("wal_gap", {{"first", first}, {"segments", left}, {"text", cost}});
    }
    const auto count = stored.size();
    stored_ = std::move(stored);
    told_ = std::move(told);
    co_return count;
}

} // namespace walgd::daemon
