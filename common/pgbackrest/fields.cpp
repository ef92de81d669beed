#include "common/pgbackrest/fields.hpp"

#include "common/base/error.hpp"

#include <charconv>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::pgbackrest {

namespace {

/// In seconds, far beyond any calendar that a time is printed in: the year 9999.
constexpr std::uint64_t seconds_max = 253'402'300'799;

} // namespace

void Fields::refuse(std::string_view why) const {
    throw Error(ErrorKind::corrupt, fmt::format("{}: {} {}", object_, entry_, why), "is the file damaged?");
}

const nlohmann::json* Fields::member(std::string_view name) const {
    if (!value_.is_object()) refuse("is not an object");
    const auto found = value_.find(name);
    return found == value_.end() || found->is_null() ? nullptr : &*found;
}

std::string Fields::text() const {
    if (!value_.is_string()) refuse("is not a text");
    return value_.get<std::string>();
}

std::uint64_t Fields::number() const {
    if (!value_.is_number_unsigned()) refuse("is not a number from 0 on");
    return value_.get<std::uint64_t>();
}

Time Fields::time() const {
    const auto seconds = number();
    if (seconds > seconds_max) refuse("is not a time");
    return Time(std::chrono::seconds(seconds));
}

pg::Lsn Fields::lsn() const {
    const auto lsn = pg::Lsn::parse(text());
    if (!lsn) refuse("is not a place in the WAL");
    return *lsn;
}

unsigned Fields::mode() const {
    const auto digits = text();
    unsigned mode = 0;
    const auto* end = digits.data() + digits.size();
    if (std::from_chars(digits.data(), end, mode, 8).ptr != end || digits.empty() || mode > 07777) refuse("is not a mode");
    return mode;
}

std::optional<std::string> Fields::text(std::string_view name) const {
    const auto* found = member(name);
    return found == nullptr ? std::nullopt : std::optional(Fields(*found, object_, entry_).text());
}

std::optional<std::uint64_t> Fields::number(std::string_view name) const {
    const auto* found = member(name);
    return found == nullptr ? std::nullopt : std::optional(Fields(*found, object_, entry_).number());
}

std::optional<Time> Fields::time(std::string_view name) const {
    const auto* found = member(name);
    return found == nullptr ? std::nullopt : std::optional(Fields(*found, object_, entry_).time());
}

std::optional<pg::Lsn> Fields::lsn(std::string_view name) const {
    const auto* found = member(name);
    return found == nullptr ? std::nullopt : std::optional(Fields(*found, object_, entry_).lsn());
}

std::optional<unsigned> Fields::mode(std::string_view name) const {
    const auto* found = member(name);
    return found == nullptr ? std::nullopt : std::optional(Fields(*found, object_, entry_).mode());
}

bool Fields::is_true() const { return value_ == true; }

bool Fields::is_true(std::string_view name) const {
    const auto* found = member(name);
    return found != nullptr && *found == true;
}

bool Fields::is_false(std::string_view name) const {
    const auto* found = member(name);
    return found != nullptr && *found == false;
}

} // namespace walgd::pgbackrest
