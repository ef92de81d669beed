#include "common/archive/wal/wal_receive.hpp"

#include "common/archive/wal/receive_start.hpp"
#include "common/archive/wal/system_guard.hpp"
#include "common/archive/wal/wal_stream.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <functional>

namespace walgd::archive {

namespace {

constexpr std::chrono::milliseconds first_pause{200}, longest_pause{30'000};

class Receiver {
public:
    Receiver(Archive& archive, const WalReceiveOptions& options, std::stop_token stop)
        : archive_(archive), options_(options), stop_(stop), pusher_(archive, {}), guard_(archive),
          keeper_(archive, pusher_, wake_), on_stop_(stop, [wake = wake_] { wake->set(); }) {}

    void run() {
        for (auto pause = first_pause; !stop_.stop_requested(); pause = std::min(2 * pause, longest_pause)) {
            const auto stored_before = stored_count_;
            try {
                session();
            } catch (...) {
                wait_out(as_error(std::current_exception()), pause);
            }
            if (stored_count_ != stored_before) pause = first_pause;
        }
    }

private:
    /// Throws what waiting does not mend.
    void wait_out(const Error& error, std::chrono::milliseconds pause) {
        if (stop_.stop_requested() && error.kind() == ErrorKind::cancelled) return;
        if (error.kind() != ErrorKind::transient && error.kind() != ErrorKind::protocol) throw error;
        const auto hint = error.hint().empty() ? std::string() : fmt::format(" ({})", error.hint());
        archive_.log.warn("{}{}; trying again in {} ms", error.what(), hint, pause.count());
        wait_until([] { return false; }, pause);
    }

    /// Until `done`, `stop` or `limit`.
    void wait_until(const std::function<bool()>& done, std::chrono::milliseconds limit) {
        const auto end = std::chrono::steady_clock::now() + limit;
        for (;;) {
            wake_->clear();
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
            if (done() || stop_.stop_requested() || left <= std::chrono::milliseconds(0)) return;
            wake_->wait(left);
        }
    }

    /// From connecting to the end of the connection. Returns only when `stop` was asked for.
    void session() {
        settle();
        const auto server = pg::Replication::connect(options_.connection);
        const auto facts = server->identify();
        run_blocking(archive_.io, guard_.check(facts.system, fmt::format("the server ({})", server->name())), stop_);
        look_at_archive(facts.segment_bytes);
        std::optional position(find_start(*server, facts));
        while (position) {
            keep_history(*server, position->timeline);
            position = receive_timeline(*server, *position, facts.segment_bytes);
        }
    }

    /// Waits for what is being stored; it counts for where to go on.
    void settle() {
        std::optional<std::string> kept;
        wait_until([&] { return !keeper_.busy() || (kept = keeper_.collect()); }, std::chrono::hours(24 * 365));
        if (keeper_.busy()) throw Error(ErrorKind::cancelled, "cancelled while a WAL file was being stored");
        if (kept && pg::wal_file_kind(*kept) == pg::WalFileKind::segment) note_stored(*pg::parse_segment(*kept, segment_bytes_));
    }

    /// Once: how this storage keeps from overwriting, and what it holds.
    void look_at_archive(std::uint64_t segment_bytes) {
        if (segment_bytes_ == segment_bytes) return;
        pusher_.options().conditional_put = run_blocking(archive_.io, probe_conditional_put(archive_), stop_);
        stored_ = run_blocking(archive_.io, newest_segments(archive_, segment_bytes), stop_);
        segment_bytes_ = segment_bytes;
    }

    WalPosition find_start(pg::Replication& server, const pg::ReplicationFacts& facts) {
        ReceiveFacts known{.segment_bytes = facts.segment_bytes,
                           .history = history_of(server, facts.timeline),
                           .flushed = facts.flushed,
                           .slot = slot(server),
                           .stored = stored_,
                           .accept_gap = options_.accept_gap};
        return choose_start(known);
    }

    pg::TimelineHistory history_of(pg::Replication& server, pg::TimelineId timeline) {
        if (timeline == pg::TimelineId(1)) return {timeline, {}};
        const auto text = server.timeline_history(timeline);
        if (!text)
            throw Error(ErrorKind::refused,
                        fmt::format("the server ({}) is on timeline {} and has no {}", server.name(), timeline.number(),
                                    pg::history_name(timeline)),
                        "copy the file into its pg_wal from the archive: walg wal-fetch");
        return pg::parse_timeline_history(*text, timeline, pg::history_name(timeline));
    }

    std::optional<pg::Lsn> slot(pg::Replication& server) {
        auto found = server.slot(options_.slot);
        if (!found) {
            server.create_slot(options_.slot);
            archive_.log.info("made the replication slot {} on the server ({})", options_.slot, server.name());
            found = server.slot(options_.slot);
        }
        return found ? found->restart : std::nullopt;
    }

    /// A timeline's history is stored before its first segment.
    void keep_history(pg::Replication& server, pg::TimelineId timeline) {
        if (timeline == pg::TimelineId(1)) return;
        const auto text = server.timeline_history(timeline);
        if (!text) {
            archive_.log.warn("the server ({}) has no {}: it is not stored, and no recovery can end on that timeline",
                              server.name(), pg::history_name(timeline));
            return;
        }
        SegmentFile file(text->size(), archive_.budget, stop_);
        file.write(0, bytes_of(*text));
        keep(pg::history_name(timeline), std::move(file));
    }

    /// Stores a file and waits for it.
    void keep(std::string name, SegmentFile file) {
        keeper_.begin(std::move(name), std::move(file));
        settle();
    }

    /// Where the next timeline is to be received from; nothing when `stop` was asked for.
    std::optional<WalPosition> receive_timeline(pg::Replication& server, WalPosition start, std::uint64_t segment_bytes) {
        WalAssembler assembler(start, segment_bytes, archive_.budget, stop_);
        auto end = server.start({options_.slot, start.timeline, start.lsn});
        if (!end) {
            archive_.log.info("receiving WAL of timeline {} from {} on, slot {} ({})", start.timeline.number(), start.lsn.text(),
                              options_.slot, server.name());
            auto stored = [this](pg::Segment segment) { note_stored(segment); };
            end = WalStream({server, keeper_, *wake_, stop_, stored}, assembler).run();
        }
        if (!end) return std::nullopt;
        if (!end->next) refuse_gap(server, assembler, end->removed);
        return after_end(assembler, *end->next);
    }

    void note_stored(pg::Segment segment) {
        ++stored_count_;
        auto& newest = stored_[segment.timeline];
        newest = std::max(newest, segment.number);
    }

    WalPosition after_end(WalAssembler& assembler, pg::NextTimeline next) {
        if (assembler.position() != next.begin)
            throw Error(ErrorKind::protocol,
                        fmt::format("the server ended timeline {} at {}, having sent its WAL up to {}",
                                    assembler.segment().timeline.number(), next.begin.text(), assembler.position().text()));
        archive_.log.info("timeline {} ended at {}, timeline {} follows", assembler.segment().timeline.number(),
                          next.begin.text(), next.timeline.number());
        const auto start = pg::segment_start(assembler.segment(), assembler.segment_bytes());
        if (!assembler.empty()) keep_partial(assembler);
        return {next.timeline, start};
    }

    void keep_partial(WalAssembler& assembler) {
        const auto name = assembler.name() + ".partial";
        try {
            keep(name, assembler.release());
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::refused) throw;
            // A promoted server archives one too, with what it had of the segment behind the timeline's end. No recovery asks for
            // either: the next timeline's segment has the same WAL.
            archive_.log.warn("{}; it stays as it is", error.what());
        }
    }

    [[noreturn]] void refuse_gap(const pg::Replication& server, const WalAssembler& assembler, const std::string& words) {
        throw Error(ErrorKind::refused,
                    fmt::format("the server ({}) does not have the WAL from {} on ({}) any more, and {} does not have it yet: {}",
                                server.name(), assembler.position().text(), assembler.name(), archive_.storage.describe(), words),
                    "push what is missing from where it still is (walg wal-push), or leave the hole: take a base backup, and let "
                    "wal-receive begin anew with --accept-gap");
    }

    Archive& archive_;
    const WalReceiveOptions& options_;
    std::stop_token stop_;
    std::shared_ptr<Wake> wake_ = std::make_shared<Wake>();
    WalPusher pusher_;
    SystemGuard guard_;
    WalKeeper keeper_;
    NewestSegments stored_;
    std::uint64_t segment_bytes_ = 0; ///< that stored_ was found with
    std::uint64_t stored_count_ = 0;
    std::stop_callback<std::function<void()>> on_stop_;
};

} // namespace

void wal_receive(Archive& archive, const WalReceiveOptions& options, std::stop_token stop) {
    pg::check_slot_name(options.slot);
    Receiver(archive, options, stop).run();
}

} // namespace walgd::archive
