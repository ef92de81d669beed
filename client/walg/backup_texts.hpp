#pragma once
#include "common/base/time_text.hpp"
#include "common/pg/lsn.hpp"

#include <optional>
#include <string>

/// Times, in UTC, and addresses as backup-list prints them; "-" for none.
namespace walgd::cli {

std::string short_time(Time time); ///< 2026-11-26T03:33:41Z
std::string long_time(Time time);  ///< Thursday, 26-Nov-26 03:33:41 UTC
std::string lsn_text(const std::optional<pg::Lsn>& lsn);

} // namespace walgd::cli
