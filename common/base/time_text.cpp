#include "common/base/time_text.hpp"

#include <cctype>
#include <fmt/format.h>

namespace walgd {

namespace {

using namespace std::chrono;

/// Reads exactly `digits` decimal digits at the front of `text` and takes them off.
std::optional<int> take_number(std::string_view& text, std::size_t digits) {
    if (text.size() < digits) return std::nullopt;
    int number = 0;
    for (std::size_t index = 0; index < digits; ++index) {
        if (std::isdigit(static_cast<unsigned char>(text[index])) == 0) return std::nullopt;
        number = number * 10 + (text[index] - '0');
    }
    text.remove_prefix(digits);
    return number;
}

bool take(std::string_view& text, char wanted) {
    if (text.empty() || text.front() != wanted) return false;
    text.remove_prefix(1);
    return true;
}

/// ".123456": up to nine digits.
std::optional<nanoseconds> take_fraction(std::string_view& text) {
    if (!take(text, '.')) return nanoseconds(0);
    std::int64_t value = 0;
    std::size_t digits = 0;
    for (; !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) != 0; text.remove_prefix(1)) {
        if (digits++ < 9) value = value * 10 + (text.front() - '0');
    }
    if (digits == 0) return std::nullopt;
    for (auto missing = digits; missing < 9; ++missing) value *= 10;
    return nanoseconds(value);
}

/// "Z" or "+03:00".
std::optional<seconds> take_zone(std::string_view& text) {
    if (take(text, 'Z') || take(text, 'z')) return seconds(0);
    const int sign = take(text, '-') ? -1 : take(text, '+') ? 1 : 0;
    const auto zone_hours = take_number(text, 2);
    if (sign == 0 || !zone_hours || !take(text, ':')) return std::nullopt;
    const auto zone_minutes = take_number(text, 2);
    if (!zone_minutes) return std::nullopt;
    return seconds(sign * (*zone_hours * 3600 + *zone_minutes * 60));
}

/// Go's unset time; it lies before what 64 bits of nanoseconds hold.
constexpr std::string_view unset_time = "0001-01-01T00:00:00Z";

/// Whole years of what 64 bits of nanoseconds hold. A file's time may be any; what is out of them counts as at their ends.
constexpr int first_year = 1678, last_year = 2261;

} // namespace

std::string format_time(Time time) {
    if (time == Time{}) return std::string(unset_time);
    const auto day = floor<days>(time);
    const year_month_day date(day);
    const hh_mm_ss clock(time - day);
    auto text =
        fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                    static_cast<unsigned>(date.day()), clock.hours().count(), clock.minutes().count(), clock.seconds().count());
    if (clock.subseconds().count() != 0) {
        text += fmt::format(".{:09}", clock.subseconds().count());
        text.erase(text.find_last_not_of('0') + 1);
    }
    return text + "Z";
}

std::string time_or_dash(std::chrono::system_clock::time_point time) {
    if (time == std::chrono::system_clock::time_point{}) return "-";
    return format_time(std::chrono::time_point_cast<std::chrono::seconds>(time));
}

std::optional<Time> parse_time(std::string_view text) {
    if (text == unset_time) return Time{};
    const auto year_number = take_number(text, 4);
    if (!year_number || !take(text, '-')) return std::nullopt;
    const auto month_number = take_number(text, 2);
    if (!month_number || !take(text, '-')) return std::nullopt;
    const auto day_number = take_number(text, 2);
    if (!day_number || !(take(text, 'T') || take(text, 't'))) return std::nullopt;
    const auto hour = take_number(text, 2);
    if (!hour || !take(text, ':')) return std::nullopt;
    const auto minute = take_number(text, 2);
    if (!minute || !take(text, ':')) return std::nullopt;
    const auto second = take_number(text, 2);
    if (!second) return std::nullopt;
    const auto fraction = take_fraction(text);
    if (!fraction) return std::nullopt;
    const auto zone = take_zone(text);
    const year_month_day date(year(*year_number), month(static_cast<unsigned>(*month_number)),
                              day(static_cast<unsigned>(*day_number)));
    if (!zone || !text.empty() || !date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
    if (*year_number < first_year) return Time(sys_days(year(first_year) / January / 1));
    if (*year_number > last_year) return Time(sys_days(year(last_year + 1) / January / 1));
    return Time(sys_days(date) + hours(*hour) + minutes(*minute) + seconds(*second) - *zone + *fraction);
}

} // namespace walgd
