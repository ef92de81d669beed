#pragma once
#include "common/base/signal.hpp"
#include "daemon/archive_view.hpp"

#include <functional>

namespace walgd::daemon {

/// Keeps the view of the archive: a listing soon after the start, another now and then, and what the daemon itself stores in
/// between.
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
    /// Something happened that the daemon cannot note by itself: look soon.
    void look_again() { again_.notify(); }
    void stored(const std::string& wal_file) { note_stored(view_, wal_file); }

    const ArchiveView& view() const { return view_; }
    /// `listener` is awaited after each look that succeeded; true: it changed the archive, so that another look is due.
    void on_look(std::function<awaitable<bool>(const ArchiveView&)> listener) { on_look_ = std::move(listener); }

private:
    awaitable<void> look();

    archive::Archive& archive_;
    Options options_;
    std::function<awaitable<bool>(const ArchiveView&)> on_look_;
    Signal again_;
    ArchiveView view_;
};

} // namespace walgd::daemon
