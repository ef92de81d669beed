#include "client/walg/backup_texts.hpp"

#include <ctime>
#include <fmt/chrono.h>

namespace walgd::cli {

namespace {

std::tm utc(Time time) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
    std::tm parts{};
    const std::time_t when = seconds;
    ::gmtime_r(&when, &parts);
    return parts;
}

} // namespace

std::string short_time(Time time) { return time == Time() ? "-" : fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc(time)); }
std::string long_time(Time time) { return time == Time() ? "-" : fmt::format("{:%A, %d-%b-%y %H:%M:%S} UTC", utc(time)); }
std::string lsn_text(const std::optional<pg::Lsn>& lsn) { return lsn ? lsn->text() : "-"; }

} // namespace walgd::cli
