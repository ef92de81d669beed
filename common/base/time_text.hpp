#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace walgd {

using Time = std::chrono::sys_time<std::chrono::nanoseconds>;

/// RFC 3339 with up to nine fractional digits, trailing zeros dropped, "Z". The default value is Go's unset time,
/// 0001-01-01T00:00:00Z.
std::string format_time(Time time);
/// To the second, for people; "-" for the default value: it never was.
std::string time_or_dash(std::chrono::system_clock::time_point time);
/// RFC 3339 with Z or a numeric offset; nothing if it is not. Years before 1678 and after 2261 count as the ends of those
/// between.
std::optional<Time> parse_time(std::string_view text);

} // namespace walgd
