#pragma once
#include "common/archive/wal/wal_catalogue.hpp"
#include "common/archive/wal/wal_fetch.hpp"
#include "common/archive/wal/wal_push.hpp"
#include "common/base/histogram.hpp"
#include "common/base/signal.hpp"
#include "common/base/slots.hpp"
#include "daemon/wal/commit_indexer.hpp"
#include "daemon/wal/level_control.hpp"
#include "daemon/wal/wal_prefetch.hpp"
#include "daemon/wal/wal_queue.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>

namespace walgd::daemon {

/// What the status tells about WAL.
struct WalCounters {
    std::uint64_t pushed = 0, already_there = 0, push_failed = 0, fetched = 0, fetch_absent = 0, fetch_failed = 0;
    std::uint64_t stored_ahead = 0, answered_at_once = 0 /* of what was stored ahead */, ahead_failed = 0, ready_renamed = 0,
                  level_changes = 0;
    std::uint64_t plain_bytes = 0, stored_bytes = 0, fetched_bytes = 0; ///< pushed: of the files, and of what went to the storage
    unsigned in_flight = 0;
    LatencyHistogram push, fetch;               ///< requests that ended well, from their first byte to their answer
    LatencyHistogram waiting, packing, putting; ///< what that takes, for files stored ahead too: until there is a place, and then
    std::string last_pushed, last_error;
    std::chrono::system_clock::time_point last_pushed_at{}, last_error_at{} /* fetches too */; ///< to be told
    /// The same by a clock that nobody sets: what is decided goes by it.
    std::chrono::steady_clock::time_point pushed_moment{}, error_moment{}, push_failed_moment{};
};

/// How much at once, and for how long.
struct WalLimits {
    unsigned concurrency = 16;
    std::size_t ahead_files = 32;      ///< TOTAL_BG_UPLOADED_LIMIT
    unsigned fetches = 8;              ///< at once from the storage, each with a codec's memory: many clients come at once
    std::optional<LevelControl> level; ///< compression_level: auto
    std::chrono::milliseconds push_timeout{60000}, fetch_timeout{300000};
};

/// WAL files out and in, first come first served, each within its time. So many as `concurrency` are on their way at once;
/// storing ahead packs one more meanwhile, and one place is kept for what PostgreSQL asks for and is not under way yet.
class WalService {
public:
    /// `index`: told of the segments that are stored; nullptr: nobody is.
    WalService(archive::Archive& archive, WalLimits limits, PrefetchOptions prefetch = {}, CommitIndexer* index = nullptr);

    awaitable<archive::WalPushed> push(std::string name, UniqueFd fd);
    /// Pushes a file that nobody asked for yet, and that the queue knows to be in flight. Says whether it is stored; never throws
    /// but Error(cancelled).
    awaitable<bool> store_ahead(std::string name, FileIdentity identity, UniqueFd fd);
    awaitable<archive::Fetched> fetch(std::string name, UniqueFd fd);
    /// Asks the storage whether it keeps If-None-Match, and what else the first push would have to ask for, until it answers;
    /// till then, and if it keeps none, pushes look before they put.
    awaitable<void> find_out_conditional_put();

    /// What a listing of the archive showed.
    void seen(const archive::WalCatalogue& wal) { pusher_.seen(wal.methods); }

    WalQueue& queue() { return queue_; }
    const WalQueue& queue() const { return queue_; }
    /// Notified whenever the queue may say something else than before.
    Signal& queue_changed() { return queue_changed_; }
    /// True while a request for that file waits.
    bool asked_for(const std::string& name) const { return asked_for_.contains(name); }
    /// Requests for pushes that wait.
    std::size_t pushes_under_way() const { return asked_for_.size(); }
    void count_ready_renamed() { ++counters_.ready_renamed; }
    /// Fetches ahead of PostgreSQL, until cancelled.
    awaitable<void> run_prefetch() { return prefetch_.run(); }
    /// Lets go of the memory kept for the next file whenever none has come for some seconds, until cancelled.
    awaitable<void> run_rest();

    /// `listener` is told the name of each file that is stored now, or was already.
    void on_stored(std::function<void(const std::string&, const archive::WalPushed&)> listener) {
        on_stored_ = std::move(listener);
    }

    const WalCounters& counters() const { return counters_; }
    const CommitIndexer* index() const { return index_; }
    const WalPrefetch& prefetch() const { return prefetch_; }
    std::size_t waiting() const { return slots_.waiting(); }
    std::chrono::steady_clock::time_point last_request() const { return last_request_; }
    /// Whether the storage was found to keep If-None-Match, or not to; before that conditional_put() is false.
    bool conditional_put_known() const { return conditional_put_known_; }
    bool conditional_put() { return pusher_.options().conditional_put == archive::ConditionalPut::works; }

private:
    awaitable<archive::WalPushed> push_or_join(std::string name, UniqueFd fd);
    awaitable<Slots::Slot> take_place();
    awaitable<archive::WalPushed> begin_and_push(std::string name, FileIdentity identity, UniqueFd fd);
    awaitable<archive::WalPushed> push_begun(std::string name, FileIdentity identity, UniqueFd fd);
    void choose_level();
    void note_stored(const std::string& name, const archive::WalPushed& result);
    void note_failure(std::string_view what, const std::string& name, const std::exception_ptr& failure);

    archive::Archive& archive_;
    WalLimits limits_;
    Slots slots_, fetch_slots_;
    archive::WalPusher pusher_;
    archive::WalFetcher fetcher_;
    WalPrefetch prefetch_;
    CommitIndexer* index_;
    WalQueue queue_;
    Signal queue_changed_;
    std::multiset<std::string> asked_for_;
    WalCounters counters_;
    std::function<void(const std::string&, const archive::WalPushed&)> on_stored_;
    bool conditional_put_known_ = false;
    std::chrono::steady_clock::time_point last_request_ = std::chrono::steady_clock::now();
};

} // namespace walgd::daemon
