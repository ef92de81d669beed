#pragma once
#include "common/base/signal.hpp"
#include "daemon/archive_view.hpp"

#include <functional>

namespace walgd::daemon {

/// Keeps the view of the archive: a listing soon after the start, another now and then, and what the daemon itself stores in
/// between.
///
/// What the view promises: all that was in the archive when the last look began, and every WAL file that this daemon stored
/// since. What others store or remove meanwhile is not in it until the next look; whoever tells the daemon of that (the commands
/// of this machine do) gets trouble() to say so at once. So the view is at most `every` old, and the time of a look.
class ArchiveWatch {
public:
    struct Options {
        std::chrono::milliseconds first{0}, every{std::chrono::hours(1)}; ///< when to look, after the start and after each look
        std::uint64_t segment_bytes = 0;                                  ///< 0: as a stored segment's header says
        std::string pgdata;                                               ///< whose archive_status is compared; empty: none
    };
    ArchiveWatch(archive::Archive& archive, Options options)
        : archive_(archive), options_(std::move(options)), again_(archive.io) {}

    /// Until cancelled.
    awaitable<void> run();
    /// The archive is not as the view has it: look soon.
    void changed();
    /// The daemon stored a WAL file, which has `stored_bytes` there; 0: not known.
    void stored(const std::string& wal_file, std::uint64_t stored_bytes);

    const ArchiveView& view() const { return view_; }
    /// Why the view must not be told as what the archive holds now; empty: it may.
    std::string stale() const;
    /// How long ago the look began that the view is of.
    std::chrono::milliseconds age() const;
    /// `listener` is awaited after each look that succeeded; true: it changed the archive, so that another look is due.
    void on_look(std::function<awaitable<bool>(const ArchiveView&)> listener) { on_look_ = std::move(listener); }

private:
    awaitable<void> look();

    archive::Archive& archive_;
    Options options_;
    std::function<awaitable<bool>(const ArchiveView&)> on_look_;
    Signal again_;
    ArchiveView view_;
    struct Stored {
        std::string wal_file;
        std::uint64_t bytes;
    };
    std::vector<Stored> stored_meanwhile_; ///< since the look began that is under way: a listing may have passed by
    std::uint64_t changes_ = 0, changes_seen_ = 0;
    bool looking_ = false, failed_ = false, sizes_known_ = true;
};

} // namespace walgd::daemon
