#pragma once
#include "client/walg/verb.hpp"

#include <string>

namespace walgd::cli {

/// PostgreSQL's restore_command: walg-fetch beside this program, told of the settings file that we were told of.
std::string restore_command_for(const Context& context);

} // namespace walgd::cli
