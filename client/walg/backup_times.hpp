#pragma once
#include "common/base/time_text.hpp"

#include <string>

/// Times as backup-list prints them, in UTC; "-" for none.
namespace walgd::cli {

std::string short_time(Time time); ///< 2026-11-26T03:33:41Z
std::string long_time(Time time);  ///< Thursday, 26-Nov-26 03:33:41 UTC

} // namespace walgd::cli
