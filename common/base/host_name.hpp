#pragma once
#include <string>

namespace walgd {

/// This machine's name, as the system has it.
std::string host_name();

} // namespace walgd
