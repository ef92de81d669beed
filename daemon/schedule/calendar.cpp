#include "daemon/schedule/calendar.hpp"

#include "common/base/bytes.hpp"
#include "common/base/error.hpp"
#include "common/base/number_text.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <date/tz.h>
#include <fmt/format.h>
#include <span>
#include <vector>

namespace walgd::daemon {

namespace {

using namespace std::chrono;
using Names = std::span<const std::string_view>;

constexpr std::array<std::string_view, 12> month_names{"jan", "feb", "mar", "apr", "may", "jun",
                                                       "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> weekday_names{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr std::pair<std::string_view, std::string_view> shorthands[] = {
    {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}};

struct Field {
    std::string_view what;
    unsigned min, max;
    Names names;
    unsigned name_base; ///< the number of names[0]
};
constexpr Field fields[] = {{"minute", 0, 59, {}, 0},
                            {"hour", 0, 23, {}, 0},
                            {"day of the month", 1, 31, {}, 0},
                            {"month", 1, 12, month_names, 1},
                            {"day of the week", 0, 7, weekday_names, 0}};

std::vector<std::string_view> split(std::string_view text, char separator, bool keep_empty) {
    std::vector<std::string_view> parts;
    for (std::size_t at = 0; at <= text.size();) {
        const auto end = std::min(text.find(separator, at), text.size());
        if (keep_empty || end > at) parts.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return parts;
}

[[noreturn]] void refuse(const Field& field, std::string_view part) {
    throw Error(ErrorKind::misconfigured,
                fmt::format("'{}' is no {}: from {} to {}, lists, ranges and steps", part, field.what, field.min, field.max),
                "five fields as in crontab(5): '30 2 * * 1-6' is half past two on all days but Sunday");
}

unsigned number_in(const Field& field, std::string_view part, std::string_view whole) {
    const auto name = std::ranges::find(field.names, lower_case(part));
    if (name != field.names.end()) return field.name_base + static_cast<unsigned>(name - field.names.begin());
    const auto value = whole_number<unsigned>(part);
    if (!value || *value < field.min || *value > field.max) refuse(field, whole);
    return *value;
}

/// The numbers of one field; `set` is called for each.
template <class Set> void read_field(const Field& field, std::string_view text, Set set) {
    for (const auto part : split(text, ',', true)) {
        const auto slash = part.find('/');
        const auto range = part.substr(0, slash);
        unsigned step = 1, from = field.min, to = field.max;
        if (slash != part.npos) {
            const Field steps{field.what, 1, field.max, {}, 0};
            step = number_in(steps, part.substr(slash + 1), part);
        }
        if (range != "*") {
            const auto dash = range.find('-');
            from = number_in(field, range.substr(0, dash), part);
            to = dash == range.npos ? (slash == part.npos ? from : field.max) : number_in(field, range.substr(dash + 1), part);
            if (to < from) refuse(field, part);
        }
        for (unsigned value = from; value <= to; value += step) set(value);
    }
}

const date::time_zone& zone_called(const std::string& name) {
    try {
        return *date::locate_zone(name);
    } catch (const std::exception&) {
        throw Error(ErrorKind::misconfigured, fmt::format("there is no time zone '{}' on this machine", name),
                    "a name of the tz database, such as Europe/Berlin, with the package tzdata installed; or UTC");
    }
}

} // namespace

Calendar::Calendar(std::string_view expression, std::string_view zone) : zone_(zone) {
    const auto given = expression;
    std::string spaced(expression); // a line of a crontab may have tabs, a variable an end of line
    std::ranges::replace_if(spaced, [](unsigned char c) { return std::isspace(c) != 0; }, ' ');
    auto words = split(spaced, ' ', false);
    for (const auto& [name, meaning] : shorthands) {
        if (words.size() == 1 && words.front() == name) words = split(meaning, ' ', false);
    }
    if (words.size() != std::size(fields))
        throw Error(
            ErrorKind::misconfigured,
            fmt::format("'{}' is no calendar expression: it has {} fields, and should have five", given, words.size()),
            "minute, hour, day of the month, month, day of the week, as in crontab(5); or @hourly, @daily, @weekly, @monthly");
    read_field(fields[0], words[0], [this](unsigned value) { minutes_.set(value); });
    read_field(fields[1], words[1], [this](unsigned value) { hours_.set(value); });
    read_field(fields[2], words[2], [this](unsigned value) { days_.set(value); });
    read_field(fields[3], words[3], [this](unsigned value) { months_.set(value); });
    read_field(fields[4], words[4], [this](unsigned value) { weekdays_.set(value % 7); });
    any_day_ = words[2].starts_with('*');
    any_weekday_ = words[4].starts_with('*');
    if (zone_ != "UTC") zone_called(zone_);
}

bool Calendar::on(local_days day) const {
    const year_month_day date(day);
    if (!months_.test(static_cast<unsigned>(date.month()))) return false;
    const bool day_fits = days_.test(static_cast<unsigned>(date.day()));
    const bool weekday_fits = weekdays_.test(weekday(day).c_encoding());
    if (any_day_ || any_weekday_) return day_fits && weekday_fits;
    return day_fits || weekday_fits;
}

std::optional<local_seconds> Calendar::next_local(local_seconds after) const {
    constexpr days search{366 * 8};
    const auto first_minute = floor<minutes>(after) + minutes(1);
    const auto first_day = floor<days>(first_minute);
    for (auto day = first_day; day < first_day + search; day += days(1)) {
        if (!on(day)) continue;
        for (unsigned hour = 0; hour < 24; ++hour) {
            if (!hours_.test(hour)) continue;
            for (unsigned minute = 0; minute < 60; ++minute) {
                const local_seconds candidate = day + hours(hour) + minutes(minute);
                if (minutes_.test(minute) && candidate >= first_minute) return candidate;
            }
        }
    }
    return std::nullopt;
}

Calendar::Time Calendar::to_system(local_seconds local) const {
    if (zone_ == "UTC") return Time(local.time_since_epoch());
    return Time(
        zone_called(zone_).to_sys(date::local_seconds(local.time_since_epoch()), date::choose::earliest).time_since_epoch());
}

local_seconds Calendar::to_local(Time time) const {
    if (zone_ == "UTC") return local_seconds(time.time_since_epoch());
    return local_seconds(zone_called(zone_).to_local(date::sys_seconds(time.time_since_epoch())).time_since_epoch());
}

std::optional<Calendar::Time> Calendar::next_after(Time time) const {
    auto local = to_local(time);
    for (;;) {
        const auto candidate = next_local(local);
        if (!candidate) return std::nullopt;
        const auto due = to_system(*candidate);
        if (due > time) return due;
        local = *candidate; // the clocks went back: this one was there before
    }
}

std::optional<Calendar::Time> Calendar::last_until(Time time) const {
    // From further and further back: most are due within a day.
    for (const auto back : {hours(2), hours(26), hours(24 * 8), hours(24 * 32), hours(24 * 366)}) {
        std::optional<Time> last;
        for (auto due = next_after(time - back); due && *due <= time; due = next_after(*due)) last = due;
        if (last) return last;
    }
    return std::nullopt;
}

} // namespace walgd::daemon
