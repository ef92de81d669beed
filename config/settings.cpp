#include "config/settings.hpp"

#include "common/base/files.hpp"
#include "config/archive_url.hpp"
#include "config/env_file.hpp"
#include "config/foreign.hpp"
#include "config/open_files.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <filesystem>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <functional>
#include <nlohmann/json.hpp>
#include <yaml-cpp/yaml.h>

namespace walgd::config {

namespace {

/// Names the file; no setting, since none can stand in the file it names.
constexpr std::string_view config_path_variable = "WALG_CONFIG_PATH";

std::string upper(std::string text) {
    std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

bool contains(std::span<const std::string_view> words, std::string_view word) {
    return std::ranges::find(words, word) != words.end();
}

/// The beginning of several settings' names.
bool is_group(const std::string& key) {
    const auto head = key + "_";
    return std::ranges::count_if(settings_table(), [&](const Setting& setting) { return setting.name.starts_with(head); }) > 1;
}

bool ours_or_walgs(std::string_view name) {
    return name.starts_with("WALG_") || name.starts_with("WALE_") || name.starts_with("WALGD_");
}

/// WAL-G's names with and without its prefixes.
bool is_foreign(std::span<const std::string_view> words, const std::string& key) {
    const auto name = upper(key);
    if (contains(words, name)) return true;
    for (const std::string_view prefix : {"WALG_", "WALE_"}) {
        if (name.starts_with(prefix) && contains(words, name.substr(prefix.size()))) return true;
    }
    return false;
}

/// Whoever calls it without WAL-G's prefix may still mean WAL-G.
bool stands_for_a_key_or_storage(const std::string& name) {
    return is_foreign(refused_settings(), name) || is_foreign(key_ring_settings(), name);
}

struct ForeignSetting {
    std::string key, where;
};

[[noreturn]] void refuse_foreign(const ForeignSetting& found) {
    throw Error(ErrorKind::misconfigured,
                fmt::format("{} ({}) asks for something that this version cannot do", found.key, found.where),
                "take it out if that is meant: it is refused so that nothing is stored unencrypted or in the wrong place by "
                "accident");
}

std::string did_you_mean(const std::string& key) {
    std::vector<std::string_view> names;
    const bool lower_case = std::ranges::any_of(key, [](unsigned char c) { return std::islower(c) != 0; });
    for (const auto& setting : settings_table()) {
        names.push_back(lower_case ? setting.name : setting.walg_name);
        if (!lower_case) names.insert(names.end(), setting.aliases.begin(), setting.aliases.end());
    }
    const auto best = nearest(key, names);
    return best.empty() ? std::string("`walg config --reference` lists the settings") : fmt::format("did you mean {}?", best);
}

/// JSON as storages_text() makes it.
bool is_storages_text(const std::string& text);

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
    if (!setting.choices.empty() && !contains(setting.choices, text))
        wrong(fmt::format("one of {}", fmt::join(setting.choices, ", ")), did_you_mean(std::string(setting.name)));
}

std::string scalar_text(const YAML::Node& node, const std::string& where) {
    if (node.IsNull()) return {};
    if (node.IsScalar()) return node.Scalar();
    throw Error(ErrorKind::misconfigured, fmt::format("{} is a list or a map, and should be one value", where));
}

/// In WAL-G's order. A form that is not read here is an error where it is met: passed over, it may be the one with the key.
constexpr std::array walg_endings{"json", "toml", "yaml",   "yml",    "properties", "props",
                                  "prop", "hcl",  "tfvars", "dotenv", "env",        "ini"};

std::string find_config_file(const Sources& sources, std::vector<std::string>& warnings) {
    namespace fs = std::filesystem;
    auto named = sources.config_file;
    if (const auto found = sources.environment.find(std::string(config_path_variable));
        named.empty() && found != sources.environment.end())
        named = found->second;
    if (!named.empty()) {
        if (!fs::exists(named))
            throw Error(ErrorKind::misconfigured, fmt::format("the configuration file {} is not there", named),
                        "--config or WALG_CONFIG_PATH names it");
        return named;
    }
    std::error_code error;
    if (fs::exists(sources.host_file, error)) return sources.host_file;
    if (error)
        warnings.push_back(fmt::format("{} is passed over: {} (is it for this user? --config names another file)",
                                       sources.host_file, error.message()));
    if (sources.home.empty()) return {};
    for (const auto* ending : walg_endings) {
        auto place = fmt::format("{}/.walg.{}", sources.home, ending);
        if (fs::exists(place, error)) return place;
    }
    return {};
}

YAML::Node load_yaml(const std::string& text, const std::string& path) {
    try {
        auto node = YAML::Load(text);
        if (!node.IsNull() && !node.IsMap())
            throw Error(ErrorKind::misconfigured, fmt::format("{} is not a list of \"name: value\" lines", path));
        return node;
    } catch (const YAML::Exception& error) {
        // JSON may write a letter as two escapes, which YAML does not know.
        const auto json = nlohmann::ordered_json::parse(text, nullptr, false);
        if (json.is_object()) return YAML::Load(json.dump());
        throw Error(ErrorKind::misconfigured,
                    fmt::format("{} line {} is neither YAML nor JSON: {}", path, error.mark.line + 1, error.msg));
    }
}

/// The names with their settings, as JSON: what the environment has for it.
std::string storages_text(const YAML::Node& storages, const std::string& where) {
    nlohmann::ordered_json all = nlohmann::ordered_json::object();
    for (const auto& storage : storages) {
        const auto name = storage.first.Scalar();
        auto& settings = all[name] = nlohmann::ordered_json::object();
        if (!storage.second.IsMap())
            throw Error(ErrorKind::misconfigured, fmt::format("{}: {} is not a map of settings", where, name));
        for (const auto& setting : storage.second)
            settings[setting.first.Scalar()] =
                scalar_text(setting.second, fmt::format("{} of {} in {}", setting.first.Scalar(), name, where));
    }
    return all.dump();
}

bool is_storages_text(const std::string& text) {
    const auto all = nlohmann::json::parse(text, nullptr, false);
    if (!all.is_object()) return false;
    return std::ranges::all_of(all, [](const nlohmann::json& settings) {
        return settings.is_object() &&
               std::ranges::all_of(settings, [](const nlohmann::json& value) { return value.is_primitive(); });
    });
}

} // namespace

Settings Settings::load(const Sources& sources) {
    Settings settings;
    for (const auto& setting : settings_table())
        settings.values_[std::string(setting.name)] = {std::string(setting.default_value), "default", false};
    std::vector<std::string> unused;
    std::vector<ForeignSetting> key_ring;
    Variables variables;

    settings.walg_compatible_ = sources.walg_compatible;
    auto give = [&](const Setting& setting, const std::string& text, const std::string& source) {
        settings.give(setting, text, source);
    };
    auto unknown = [&](const std::string& key, const std::string& where) {
        if (is_foreign(refused_settings(), key)) refuse_foreign({key, where});
        if (is_foreign(key_ring_settings(), key)) {
            key_ring.push_back({key, where});
            return;
        }
        if (is_foreign(scripts_settings(), key)) return;
        if (is_foreign(unused_settings(), key)) {
            unused.push_back(key);
            return;
        }
        if (sources.walg_compatible)
            settings.warnings_.push_back(fmt::format("{} is unknown ({})", key, where));
        else
            throw Error(ErrorKind::misconfigured, fmt::format("{} ({}) is not a setting", key, where), did_you_mean(key));
    };

    if (const auto file = find_config_file(sources, settings.warnings_); !file.empty()) {
        std::function<void(const std::string&, const YAML::Node&, const std::string&)> take;
        take = [&](const std::string& key, const YAML::Node& value, const std::string& where) {
            const auto* setting = setting_of_key(key);
            // A group: keep: {full: 7} is keep_full: 7.
            if (setting == nullptr && value.IsMap() && is_group(key)) {
                for (const auto& item : value) take(key + "_" + item.first.Scalar(), item.second, where);
                return;
            }
            if (setting == nullptr) return unknown(key, where);
            const auto name = fmt::format("{} in {}", key, where);
            const bool storages = setting->type == Type::storages && value.IsMap();
            const auto text = storages ? storages_text(value, name) : scalar_text(value, name);
            if (!text.empty()) give(*setting, text, file);
        };
        const auto file_text = read_text_file(file);
        const auto env_lines = parse_env_file(file_text, file);
        for (const auto& line : env_lines.value_or(std::vector<EnvLine>())) {
            if (line.value.empty()) continue;
            if (const auto* setting = setting_of_key(line.name); setting != nullptr)
                give(*setting, line.value, file);
            else if (ours_or_walgs(line.name) || stands_for_a_key_or_storage(line.name))
                unknown(line.name, fmt::format("{} line {}", file, line.line));
            variables[line.name] = {line.value, file};
        }
        for (const auto& item : env_lines ? YAML::Node() : load_yaml(file_text, file)) {
            const auto key = item.first.Scalar();
            const auto where = fmt::format("{} line {}", file, item.first.Mark().line + 1);
            take(key, item.second, where);
        }
    }
    for (const auto& setting : settings_table()) {
        std::vector<std::string_view> names{setting.walg_name};
        names.insert(names.end(), setting.aliases.begin(), setting.aliases.end());
        std::string_view taken;
        for (const auto name : names) {
            const auto found = sources.environment.find(std::string(name));
            if (found == sources.environment.end() || found->second.empty()) continue;
            if (taken.empty()) {
                give(setting, found->second, fmt::format("environment {}", name));
                taken = name;
            } else if (found->second != sources.environment.at(std::string(taken)))
                settings.warnings_.push_back(fmt::format("both {} and {} are set; {} is used", taken, name, taken));
        }
    }
    for (const auto& [name, text] : sources.environment) {
        if (text.empty() || setting_of_key(name) != nullptr || name == config_path_variable) continue;
        if (ours_or_walgs(name) || stands_for_a_key_or_storage(name)) unknown(name, "environment");
    }
    // Other services' credentials are none of ours: only what a setting is called counts.
    for (const auto& [name, text] : sources.credentials) {
        const auto* setting = setting_of_key(name);
        if (setting != nullptr && !text.empty()) give(*setting, text, fmt::format("credential {}", name));
    }
    for (const auto& [key, text] : sources.command_line) {
        auto name = key;
        std::ranges::replace(name, '-', '_');
        const auto* setting = setting_of_key(name);
        if (setting == nullptr)
            unknown(name, "command line");
        else
            give(*setting, text, "command line");
    }
    for (const auto& [name, text] : sources.environment) {
        if (!text.empty()) variables[name] = {text, "environment " + name};
    }
    if (!settings.given("s3_prefix") && !settings.given("file_prefix")) {
        for (const auto& [name, text, source] : settings_of_fly(variables)) {
            if (settings.given(name) && settings.text(name) != text)
                settings.warnings_.push_back(
                    fmt::format("{} is set ({}) and in {}, which is used", name, settings.source(name), source));
            give(*setting_of_key(name), text, source);
        }
    }
    for (const auto& found : key_ring) {
        if (!settings.given("pgp_key") && !settings.given("pgp_key_path")) refuse_foreign(found);
        settings.warnings_.push_back(
            fmt::format("{} ({}) is passed over: the OpenPGP key that is given is used", found.key, found.where));
    }
    if (!unused.empty())
        settings.warnings_.push_back(
            fmt::format("settings of WAL-G's that change nothing in this version: {}", fmt::join(unused, ", ")));
    for (auto& warning : open_file_warnings(settings, sources.daemon)) settings.warnings_.push_back(std::move(warning));
    return settings;
}

const Setting* setting_of_key(const std::string& key) {
    const auto name = upper(key);
    for (const auto& setting : settings_table()) {
        if (upper(std::string(setting.name)) == name || setting.walg_name == name || contains(setting.aliases, name))
            return &setting;
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
