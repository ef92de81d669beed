#pragma once
#include "common/archive/archive.hpp"
#include "common/pg/server.hpp"
#include "config/settings.hpp"

#include <memory>

namespace walgd::config {

/// The engine's parts, as the settings want them: storage with its decorators, packing, memory, CPU threads.
class ArchiveSetup {
public:
    /// Error(misconfigured) when settings contradict each other: two storages, none, a key that is given but not used.
    /// `io` is the executor of the I/O thread. Nothing is sent to the storage yet. `target`: the storage to work with alone;
    /// empty: as the setting target_storage says.
    ArchiveSetup(const Settings& settings, asio::any_io_executor io, Log& log, const std::string& target = {});
    ~ArchiveSetup();
    ArchiveSetup(const ArchiveSetup&) = delete;

    archive::Archive& archive();
    /// Keeps what is known of failover storages fresh, until it is cancelled; ends at once where there are none.
    awaitable<void> watch_storages();

private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

/// Tells one archive from another by the settings alone: endpoint, bucket and prefix, or the folder, of each storage.
/// Error(misconfigured) as ArchiveSetup's.
std::string archive_place(const Settings& settings);

/// libpq's keywords from PGHOST, PGPORT ... settings; what was not given is left to libpq.
pg::ConnectionOptions connection_options(const Settings& settings);

} // namespace walgd::config
