#include "daemon/gap_healer.hpp"
#include "common/base/in_quotes.hpp"

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

awaitable<bool> GapHealer::store(std::string name) {
    if (pgdata_.empty()) co_return false;
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
    stored_.insert(name);
    log_.info("event=wal_gap_healed segment={}", name);
    co_return true;
}

awaitable<std::size_t> GapHealer::heal(std::vector<archive::CheckedRun> missing, std::uint64_t segment_bytes, bool backup_since) {
    std::size_t stored = 0;
    for (const auto& gap : missing) {
        std::uint64_t left = 0;
        for (auto number = gap.segments.first; number <= gap.segments.last; ++number) {
            const auto name = pg::segment_name({gap.timeline, number}, segment_bytes);
            if (stored_.contains(name)) continue;
            bool healed = false;
            if (number - gap.segments.first < segments_max) {
                healed = co_await store(name);
            }
            ++(healed ? stored : left);
        }
        const auto first = pg::segment_name({gap.timeline, gap.segments.first}, segment_bytes);
        if (left == 0 || !told_.insert(first).second) continue;
        const auto cost = fmt::format("no moment after it can be reached from a base backup before it; {}",
                                      backup_since ? "a base backup since then can be recovered" : "take a full base backup now");
        log_.error("event=wal_gap first={} segments={} text={}", first, left, in_quotes(cost));
        hooks_.notify("wal_gap", {{"first", first}, {"segments", left}, {"text", cost}});
    }
    co_return stored;
}

} // namespace walgd::daemon
