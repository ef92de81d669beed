#include "daemon/archive_watch.hpp"

#include "common/archive/retention/kept_alone.hpp"
#include "common/archive/wal/lost_segments.hpp"
#include "common/base/in_quotes.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <tuple>
#include <utility>

namespace walgd::daemon {

namespace {

constexpr unsigned requests_at_once = 4;
constexpr std::chrono::seconds after_failure{30};
/// So much older than asked for a view may be while the next look is under way.
constexpr std::chrono::minutes look_takes{5};

std::vector<archive::BackupWal> wal_of_backups(const ArchiveView& view) {
    std::vector<archive::BackupWal> backups;
    for (const auto& backup : view.backups) {
        if (!backup.segment) continue;
        const pg::Lsn last_byte(backup.finish_lsn - (backup.finish_lsn > 0 ? 1 : 0));
        const auto last = pg::segment_number(last_byte, view.wal.segment_bytes);
        backups.push_back(
            {backup.segment->timeline, {backup.segment->number, std::max(last, backup.segment->number)}, backup.alone});
    }
    return backups;
}

} // namespace

void ArchiveWatch::changed() {
    ++changes_;
    again_.notify();
}

void ArchiveWatch::stored(const std::string& wal_file, std::uint64_t stored_bytes) {
    if (looking_) stored_meanwhile_.push_back({wal_file, stored_bytes});
    // Before the first look there is nothing to add to.
    if (view_.began == std::chrono::system_clock::time_point{}) return;
    const auto noted = note_stored(view_, wal_file, stored_bytes);
    if (noted == Noted::not_known) changed();
    // Where two hosts archive the same WAL that is each second segment: not worth a listing each.
    if (noted == Noted::without_size) sizes_known_ = false;
}

std::chrono::milliseconds ArchiveWatch::age() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now() - view_.began);
}

std::string ArchiveWatch::stale() const {
    if (view_.began == std::chrono::system_clock::time_point{}) return "it has not listed the archive yet";
    if (failed_) return view_.trouble;
    if (changes_ != changes_seen_) return "the archive was changed since it was listed";
    if (!sizes_known_) return "another host stored WAL since it was listed";
    // The machine may have slept, and its clock may have been set.
    if (age() > options_.every + look_takes || age() < std::chrono::milliseconds(0)) return "its listing is too old";
    return {};
}

awaitable<void> ArchiveWatch::run() {
    co_await again_.wait(Clock::now() + options_.first);
    for (;;) {
        std::exception_ptr failure;
        bool changed = false;
        try {
            looking_ = true;
            co_await look();
            looking_ = false;
            if (on_look_) {
                changed = co_await on_look_(view_);
            }
        } catch (...) {
            failure = std::current_exception();
        }
        stored_meanwhile_.clear();
        failed_ = looking_;
        looking_ = false;
        if (failure) {
            if (as_error(failure).kind() == ErrorKind::cancelled) co_return;
            view_.trouble = fmt::format("the archive could not be listed: {}", describe(failure));
            ++view_.looks_failed;
            archive_.log.debug("event=archive_look error={}", in_quotes(describe(failure)));
        }
        // Whoever tells of changes without end gets half of the time for listings.
        const auto took = std::chrono::duration_cast<Clock::duration>(view_.backups_took + view_.wal_took);
        co_await sleep_for(std::min<Clock::duration>(took, options_.every));
        // Who notified while it looked woke nobody.
        if (changed || (!failure && changes_ != changes_seen_)) continue;
        const auto wait = failure ? std::min<std::chrono::milliseconds>(after_failure, options_.every) : options_.every;
        co_await again_.wait(Clock::now() + wait);
    }
}

awaitable<void> ArchiveWatch::look() {
    const auto began = std::chrono::steady_clock::now();
    const auto changes = changes_;
    ArchiveView next;
    next.began = std::chrono::system_clock::now();
    // Before the listing, which then has all that was archived until here.
    auto read_status = [this] { return archive::segments_called_archived(options_.pgdata); };
    const auto called = co_await run_on(archive_.cpu, std::move(read_status));
    auto entries = co_await archive::list_backups(archive_.storage);
    auto details = co_await archive::read_details(archive_.storage, std::move(entries), requests_at_once);
    const auto listed = std::chrono::steady_clock::now();
    next.wal = co_await archive::list_wal(archive_, options_.segment_bytes, requests_at_once);
    std::optional<pg::TimelineHistory> history;
    try {
        if (!next.wal.timelines.empty())
            history = co_await archive::stored_history(archive_, next.wal.timelines.rbegin()->first, next.wal.others);
    } catch (const Error& error) {
        // One damaged object is told, and hides nothing else.
        if (error.kind() != ErrorKind::corrupt) throw;
        next.trouble = error.what();
    }
    next.parents = co_await archive::read_parents(archive_, next.wal);
    std::set<std::string> alone;
    try {
        alone = co_await archive::read_kept_alone(archive_.storage);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) throw;
        next.trouble = error.what();
    }
    for (const auto& backup : details) next.backups.push_back(view_of(backup, next.wal.segment_bytes));
    for (auto& backup : next.backups) backup.alone = backup.permanent || alone.contains(backup.name);
    std::ranges::sort(next.backups, {}, [](const auto& backup) { return std::tie(backup.started, backup.name); });
    next.backups_took = listed - began;
    next.wal_took = std::chrono::steady_clock::now() - listed;
    next.at = std::chrono::system_clock::now();
    next.looks_failed = view_.looks_failed;
    judge(next, history);
    next.details = std::move(details);
    if (called) next.lost = archive::lost_segments(*called, next.wal, wal_of_backups(next)).size();
    if (next.lost.value_or(0) > view_.lost.value_or(0))
        archive_.log.error("event=wal_lost segments={} text={}", *next.lost,
                           in_quotes("PostgreSQL calls them archived, and the archive lacks them: walg doctor names them"));
    view_ = std::move(next);
    changes_seen_ = changes;
    sizes_known_ = true;
    for (const auto& [wal_file, bytes] : std::exchange(stored_meanwhile_, {})) stored(wal_file, bytes);
    archive_.log.info("event=archive_listed backups={} segments={} missing={} ms={}", view_.backups.size(), view_.wal.objects,
                      view_.missing,
                      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count());
}

} // namespace walgd::daemon
