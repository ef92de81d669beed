#pragma once
#include "common/archive/archive.hpp"
#include "config/settings.hpp"

#include <ostream>

namespace walgd::config {

/// `walgd --check`: tries the socket's place, packing, storage (list, write, read, remove, conditional write) and PostgreSQL, and
/// says for each what it found. `server` false: PostgreSQL is left out, since it does not run yet. Returns the exit code: 0, or 1
/// when something failed. Blocks; not for the I/O thread.
int run_check(const Settings& settings, archive::Archive& archive, std::ostream& out, bool server = true);

} // namespace walgd::config
