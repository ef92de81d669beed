#include "config/settings.hpp"

#include "common/base/bytes.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <cassert>
#include <cctype>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace walgd::config {

namespace {

/// JSON as storages_text() makes it (settings_file.hpp).
bool is_storages_text(const std::string& text) {
    const auto all = nlohmann::json::parse(text, nullptr, false);
    if (!all.is_object()) return false;
    return std::ranges::all_of(all, [](const nlohmann::json& settings) {
        return settings.is_object() &&
               std::ranges::all_of(settings, [](const nlohmann::json& value) { return value.is_primitive(); });
    });
}

/// Error(misconfigured) when the text is no value of the setting.
void check_value(const Setting& setting, const std::string& text, const std::string& source) {
    auto shown = setting.secret ? std::string("***") : text;
    auto wrong = [&](std::string_view wanted, std::string hint = {}) {
        throw Error(
            ErrorKind::misconfigured,
            fmt::format("{} ({}, from {}) is '{}', which is not {}", setting.name, setting.walg_name, source, shown, wanted),
            std::move(hint));
    };
    switch (setting.type) {
    case Type::flag:
        if (!parse_flag(text)) wrong("true or false");
        break;
    case Type::number:
        if (const auto number = parse_number(text); !number || *number < 0) wrong("a whole number");
        break;
    case Type::bytes:
        if (!parse_bytes(text)) wrong("a number of bytes", "write 8388608 or 8MiB");
        break;
    case Type::duration:
        if (!parse_duration(text)) wrong("a duration", "write 90s, 5m or 1h30m");
        break;
    case Type::json:
        if (!nlohmann::json::accept(text)) wrong("JSON");
        break;
    case Type::storages:
        if (!is_storages_text(text))
            wrong("a map of names to settings", R"(in a file as a map; else as JSON: {"west": {"WALG_S3_PREFIX": "s3://..."}})");
        break;
    case Type::text:
    case Type::path:
        break;
    }
    if (!setting.choices.empty() && !is_one_of(text, setting.choices)) {
        const auto meant = nearest(text, setting.choices);
        wrong(fmt::format("one of {}", fmt::join(setting.choices, ", ")),
              meant.empty() ? "" : fmt::format("did you mean {}?", meant));
    }
}

} // namespace

std::string did_you_mean(const std::string& key) {
    std::vector<std::string_view> names;
    const bool small = std::ranges::any_of(key, [](unsigned char c) { return std::islower(c) != 0; });
    for (const auto& setting : settings_table()) {
        names.push_back(small ? setting.name : setting.walg_name);
        if (!small) names.insert(names.end(), setting.aliases.begin(), setting.aliases.end());
    }
    const auto best = nearest(key, names);
    return best.empty() ? std::string("`walg config --reference` lists the settings") : fmt::format("did you mean {}?", best);
}

const Setting* setting_of_key(const std::string& key) {
    const auto name = upper_case(key);
    for (const auto& setting : settings_table()) {
        if (upper_case(setting.name) == name || setting.walg_name == name || is_one_of(name, setting.aliases)) return &setting;
    }
    return nullptr;
}

void Settings::give(const Setting& setting, const std::string& text, const std::string& source) {
    check_value(setting, text, source);
    values_[std::string(setting.name)] = {text, source, true};
}

void Settings::forget(const Setting& setting) {
    values_[std::string(setting.name)] = {std::string(setting.default_value), "default", false};
}

std::string Settings::text(std::string_view name) const {
    const auto found = values_.find(name);
    assert(found != values_.end());
    return found->second.text;
}

bool Settings::flag(std::string_view name) const { return parse_flag(text(name)).value_or(false); }
std::int64_t Settings::number(std::string_view name) const { return parse_number(text(name)).value_or(0); }
std::uint64_t Settings::bytes(std::string_view name) const { return parse_bytes(text(name)).value_or(0); }
std::chrono::milliseconds Settings::duration(std::string_view name) const {
    return parse_duration(text(name)).value_or(std::chrono::milliseconds(0));
}
std::vector<std::string> Settings::differing(const Settings& other) const {
    std::vector<std::string> names;
    for (const auto& setting : settings_table()) {
        if (text(setting.name) != other.text(setting.name)) names.emplace_back(setting.name);
    }
    return names;
}
bool Settings::given(std::string_view name) const { return values_.find(name)->second.given; }
std::string Settings::source(std::string_view name) const { return values_.find(name)->second.source; }

} // namespace walgd::config
