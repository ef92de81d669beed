#pragma once
#include "common/archive/archive.hpp"
#include "config/checks.hpp"
#include "config/settings.hpp"

namespace walgd::config {

/// PostgreSQL's part of `walgd --check`: the connection, the data directory, whether its WAL comes here, whether the archive is
/// its own, and whether the user may take backups. Blocks; not for the I/O thread.
void check_server(const Settings& settings, archive::Archive& archive, Checks& checks);

} // namespace walgd::config
