#pragma once
#include "common/archive/wal/delta_recorder.hpp"
#include "common/base/signal.hpp"

#include <set>
#include <string>

namespace walgd::daemon {

/// Writes the map of changed pages of each group of segments once its last one is stored. No push waits for it or fails by it; a
/// group that the storage did not take is tried again, and one whose end nobody saw is made up for by the next. On the I/O
/// thread.
class DeltaMaps {
public:
    /// `pgdata`: empty if not known. `try_again`: so long after the storage did not answer.
    DeltaMaps(archive::Archive& archive, const std::string& pgdata,
              std::chrono::milliseconds try_again = std::chrono::seconds(60));

    /// A WAL file of so many bytes was stored. Returns at once.
    void stored(const std::string& name, std::uint64_t file_bytes);
    /// Writes what is due, until cancelled.
    awaitable<void> run();

private:
    static constexpr std::size_t due_max = 64;

    awaitable<bool> record(archive::DeltaGroup group);

    archive::Archive& archive_;
    const std::string pg_wal_;
    const std::chrono::milliseconds try_again_;
    std::set<archive::DeltaGroup> due_;
    Signal more_;
};

} // namespace walgd::daemon
