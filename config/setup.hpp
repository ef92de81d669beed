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
    /// `io` is the executor of the I/O thread. Nothing is sent to the storage yet.
    ArchiveSetup(const Settings& settings, asio::any_io_executor io, Log& log);
    ~ArchiveSetup();
    ArchiveSetup(const ArchiveSetup&) = delete;

    archive::Archive& archive();

private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

/// Tells one archive from another by the settings alone: endpoint, bucket and prefix, or the folder. Error(misconfigured) as
/// ArchiveSetup's.
std::string archive_place(const Settings& settings);

/// libpq's keywords from PGHOST, PGPORT ... settings; what was not given is left to libpq.
pg::ConnectionOptions connection_options(const Settings& settings);

} // namespace walgd::config
