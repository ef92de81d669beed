#pragma once
#include "common/archive/layout.hpp"
#include "common/archive/wal_catalogue.hpp"

namespace walgd::cli {

/// A warning in the log for each, and for the rest their number. `folder`: where they are.
void tell_odd_objects(Log& log, const archive::WalCatalogue& wal, std::string_view folder = archive::wal_folder);

} // namespace walgd::cli
