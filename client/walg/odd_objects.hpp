#pragma once
#include "common/archive/wal_catalogue.hpp"

namespace walgd::cli {

/// A warning in the log for each, and for the rest their number.
void tell_odd_objects(Log& log, const archive::WalCatalogue& wal);

} // namespace walgd::cli
