#pragma once
#include "config/settings.hpp"

#include <string>

namespace walgd::config {

/// The reference page (Markdown): every setting of the table.
std::string reference_page();

} // namespace walgd::config
