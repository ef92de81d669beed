#include "config/failover_settings.hpp"

#include "common/base/bytes.hpp"
#include "config/foreign.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <nlohmann/json.hpp>

namespace walgd::config {

namespace {

constexpr std::array prefixes{"s3_prefix", "file_prefix"};
constexpr std::array credential_settings{
    "aws_access_key_id", "aws_secret_access_key",       "aws_session_token",      "aws_profile",
    "aws_role_arn",      "aws_web_identity_token_file", "s3_use_yc_session_token"};

/// What one server takes, or has the keys of, and another does not.
constexpr std::array server_settings{"aws_s3_force_path_style", "s3_storage_class", "s3_sse", "s3_sse_kms_id", "s3_sse_c"};

/// Settings of where objects are; everything else is the archive's.
bool is_of_a_storage(std::string_view name) {
    constexpr std::array others{"file_prefix", "storage_prefix", "storage_deadline", "storage_stall_timeout"};
    return name.starts_with("s3_") || name.starts_with("aws_") || is_one_of(name, others);
}

template <class Names> void forget_all(Settings& settings, const Names& names) {
    for (const auto* name : names) settings.forget(*setting_of_key(name));
}

/// A name that is no setting: refused, unless WAL-G would pass it over as well.
void check_foreign(const Settings& settings, const std::string& key, const std::string& value, const std::string& where) {
    const auto upper = upper_case(key);
    if (asks_for_nothing(upper.starts_with("WALG_") ? upper.substr(5) : upper, value)) return;
    if (is_one_of(upper, refused_settings()))
        throw Error(ErrorKind::misconfigured,
                    fmt::format("{} ({}) asks for a storage that this version does not know", key, where),
                    "failover storages are in S3 (WALG_S3_PREFIX) or in a mounted folder (WALG_FILE_PREFIX)");
    if (is_one_of(upper, unused_settings()) || is_one_of(upper, scripts_settings()) || settings.walg_compatible()) return;
    throw Error(ErrorKind::misconfigured, fmt::format("{} ({}) is not a setting", key, where),
                "`walg config --reference` lists the settings");
}

Settings settings_of(const Settings& settings, const std::string& name, const nlohmann::json& given) {
    auto own = settings;
    forget_all(own, prefixes);
    const auto where = fmt::format("storage {} of failover_storages, {}", name, settings.source("failover_storages"));
    std::vector<std::pair<const Setting*, std::string>> values;
    for (const auto& [key, value] : given.items()) {
        const auto text = value.is_string() ? value.get<std::string>() : value.dump();
        const auto* setting = setting_of_key(key);
        if (setting == nullptr)
            check_foreign(settings, key, text, where);
        else if (!is_of_a_storage(setting->name))
            throw Error(ErrorKind::misconfigured, fmt::format("{} ({}) is none of a storage's settings", key, where),
                        "it goes for the whole archive: set it beside failover_storages");
        else if (!text.empty())
            values.emplace_back(setting, text);
    }
    // Setting by setting, as for WAL-G: its storages beside each other at one endpoint have credentials of their own and no
    // endpoint. But half of one's credentials and half of another's would be nobody's.
    const auto gives = [&](const auto& names) {
        return std::ranges::any_of(values, [&](const auto& value) { return is_one_of(value.first->name, names); });
    };
    if (gives(credential_settings)) forget_all(own, credential_settings);
    const auto endpoint = std::ranges::find(values, "aws_endpoint", [](const auto& value) { return value.first->name; });
    const bool other_server = endpoint != values.end() && endpoint->second != settings.text("aws_endpoint");
    if (other_server || gives(std::array{"file_prefix"})) forget_all(own, server_settings);
    for (const auto& [setting, text] : values) own.give(*setting, text, where);
    const bool placed = std::ranges::any_of(prefixes, [&](const char* prefix) { return own.given(prefix); });
    if (!placed)
        throw Error(ErrorKind::misconfigured, fmt::format("{} has no prefix", where),
                    "give it WALG_S3_PREFIX or WALG_FILE_PREFIX");
    return own;
}

} // namespace

std::vector<StorageSettings> storage_settings(const Settings& settings) {
    std::vector<StorageSettings> storages{{std::string(default_storage), settings}};
    if (!settings.given("failover_storages")) return storages;
    const auto all = nlohmann::json::parse(settings.text("failover_storages"));
    std::map<std::string, const nlohmann::json*> by_name;
    for (const auto& [key, given] : all.items()) {
        const auto name = lower_case(key);
        if (name == default_storage || name == all_storages || name.empty())
            throw Error(
                ErrorKind::misconfigured,
                fmt::format("a storage of failover_storages ({}) is called '{}'", settings.source("failover_storages"), name),
                "that name means the primary storage, or all of them; take another one");
        if (!by_name.emplace(name, &given).second)
            throw Error(
                ErrorKind::misconfigured,
                fmt::format("two storages of failover_storages ({}) are called '{}'", settings.source("failover_storages"), name),
                "upper and lower case are one");
    }
    for (const auto& [name, given] : by_name) storages.push_back({name, settings_of(settings, name, *given)});
    return storages;
}

std::vector<StorageSettings> storage_settings(const Settings& settings, const std::string& target) {
    auto storages = storage_settings(settings);
    const auto name = lower_case(target);
    if (name.empty() || name == all_storages) return storages;
    const auto found = std::ranges::find(storages, name, &StorageSettings::name);
    if (found == storages.end()) {
        std::vector<std::string> names;
        for (const auto& storage : storages) names.push_back(storage.name);
        throw Error(ErrorKind::misconfigured, fmt::format("there is no storage '{}'", target),
                    fmt::format("there are: {}; others are named in WALG_FAILOVER_STORAGES", fmt::join(names, ", ")));
    }
    std::vector<StorageSettings> one{*found};
    return one;
}

} // namespace walgd::config
