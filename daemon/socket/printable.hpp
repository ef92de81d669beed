#pragma once
#include <string>
#include <string_view>

namespace walgd::daemon {

/// A client's words as they may stand in a log: one line, printable, not endless.
std::string printable(std::string_view text);

} // namespace walgd::daemon
