#pragma once
#include "common/archive/archive.hpp"
#include "config/settings.hpp"

#include <ostream>

namespace walgd::config {

/// `walgd --check`: tries storage (list, write, conditional write, read), packing and the PostgreSQL connection, and says for
/// each what it found. Returns the exit code: 0, or 1 when something failed. Blocks; not for the I/O thread.
int run_check(const Settings& settings, archive::Archive& archive, std::ostream& out);

} // namespace walgd::config
