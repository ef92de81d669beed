#pragma once
#include "common/archive/archive.hpp"
#include "config/settings.hpp"

#include <stop_token>
#include <string>
#include <vector>

namespace walgd::config {

/// How much a finding weighs.
enum class Weight {
    broken,  ///< data is being lost, or could not be restored
    warning, ///< it works, and will not always
    note,    ///< worth knowing
};
std::string_view name_of(Weight weight);

/// One thing that is not as it should be.
struct Finding {
    Weight weight;
    std::string what; ///< "PostgreSQL", "storage" ...
    std::string text; ///< what was seen
    std::string todo; ///< what to do about it; empty: nothing
};

/// Looks at the settings, the storage, the archive and the server, and says what is not as it should be; the heaviest first. What
/// cannot be looked at is a finding, too. Writes one small object of its own and removes it.
std::vector<Finding> examine(const Settings& settings, archive::Archive& archive, std::stop_token stop);

/// The server's part of it.
void examine_server(const Settings& settings, archive::Archive& archive, std::vector<Finding>& findings);

} // namespace walgd::config
