#pragma once
#include "common/base/signal.hpp"
#include "daemon/archive_view.hpp"

namespace walgd::daemon {

/// Keeps the view of the archive: one listing at the start, another now and then, and what the daemon itself stores in between.
class ArchiveWatch {
public:
    ArchiveWatch(archive::Archive& archive, std::chrono::milliseconds every)
        : archive_(archive), every_(every), again_(archive.io) {}

    /// Until cancelled.
    awaitable<void> run();
    /// Something happened that the daemon cannot note by itself: look soon.
    void look_again() { again_.notify(); }
    void stored(const std::string& wal_file) { note_stored(view_, wal_file); }

    const ArchiveView& view() const { return view_; }

private:
    awaitable<void> look();

    archive::Archive& archive_;
    std::chrono::milliseconds every_;
    Signal again_;
    ArchiveView view_;
};

} // namespace walgd::daemon
