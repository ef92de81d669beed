#pragma once
#include "common/archive/layout.hpp"
#include "common/archive/wal/wal_catalogue.hpp"

namespace walgd::cli {

/// A warning in the log for each, and for the rest their number. `folder`: where they are; `left_out`: how many there are that
/// the catalogue does not name.
void tell_odd_objects(Log& log, const archive::WalCatalogue& wal, std::string_view folder = archive::wal_folder,
                      std::uint64_t left_out = 0);

} // namespace walgd::cli
