#include "common/base/bytes.hpp"
#include "common/base/files.hpp"
#include "config/archive_url.hpp"
#include "config/env_file.hpp"
#include "config/foreign.hpp"
#include "config/open_files.hpp"
#include "config/settings.hpp"
#include "config/settings_file.hpp"
#include "config/values.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <optional>
#include <vector>
#include <yaml-cpp/yaml.h>

namespace walgd::config {

namespace {

/// The beginning of several settings' names.
bool is_group(const std::string& key) {
    const auto head = key + "_";
    return std::ranges::count_if(settings_table(), [&](const Setting& setting) { return setting.name.starts_with(head); }) > 1;
}

bool ours_or_walgs(std::string_view name) {
    return name.starts_with("WALG_") || name.starts_with("WALE_") || name.starts_with("WALGD_");
}

/// Without WAL-G's prefix.
std::string bare_name(const std::string& key) {
    const auto name = upper_case(key);
    for (const std::string_view prefix : {"WALG_", "WALE_"}) {
        if (name.starts_with(prefix)) return name.substr(prefix.size());
    }
    return name;
}

/// WAL-G's names with and without its prefixes.
bool is_foreign(std::span<const std::string_view> words, const std::string& key) {
    return is_one_of(upper_case(key), words) || is_one_of(bare_name(key), words);
}

/// Of a name in the file: 0 is the setting's own, and further ones follow as the environment's do.
std::size_t rank_in_file(const Setting& setting, const std::string& key) {
    const auto name = upper_case(key);
    const auto found = std::ranges::find(setting.aliases, name);
    if (name == upper_case(setting.name) || found == setting.aliases.end()) return 0;
    return 1 + static_cast<std::size_t>(found - setting.aliases.begin());
}

/// Whoever calls it without WAL-G's prefix may still mean WAL-G.
bool stands_for_a_key_or_storage(const std::string& name) {
    return is_foreign(refused_settings(), name) || is_foreign(key_ring_settings(), name);
}

/// What Kubernetes tells every container of a Service, and Docker of a link, called walgd or walg-something:
/// WALGD_SERVICE_HOST, WALGD_PORT, WALGD_PORT_9351_TCP_ADDR.
bool is_of_a_service(const std::string& name, const std::map<std::string, std::string>& environment) {
    for (const std::string_view word : {"_SERVICE_", "_PORT"}) {
        for (auto at = name.find(word); at != std::string::npos; at = name.find(word, at + 1)) {
            const auto service = name.substr(0, at);
            if (environment.contains(service + "_SERVICE_HOST")) return true;
            if (const auto port = environment.find(service + "_PORT");
                port != environment.end() && (port->second.starts_with("tcp://") || port->second.starts_with("udp://")))
                return true;
        }
    }
    return false;
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

} // namespace

/// Takes the sources one after the other: what a later one gives stands in the place of what an earlier one gave.
class Settings::Loader {
public:
    explicit Loader(const Sources& sources) : sources_(sources) {
        settings_.walg_compatible_ = sources.walg_compatible;
        for (const auto& setting : settings_table()) settings_.forget(setting);
    }

    Settings load() {
        take_file();
        take_environment();
        take_credentials();
        take_command_line();
        take_fly();
        tell_what_is_passed_over();
        return std::move(settings_);
    }

private:
    void take_file();
    void take_lines(const std::vector<EnvLine>& lines, const std::string& file);
    void take_node(const std::string& key, const YAML::Node& value, const std::string& where, const std::string& file);
    void take_environment();
    void take_names_of(const Setting& setting);
    void take_credentials();
    void take_command_line();
    void take_fly();
    void unknown(const std::string& key, const std::string& value, const std::string& where);
    void tell_what_is_passed_over();
    void warn_of_another_token();
    void warn(std::string text) { settings_.warnings_.push_back(std::move(text)); }

    const Sources& sources_;
    Settings settings_;
    std::vector<std::string> unused_;              ///< of WAL-G's, without effect here
    std::vector<ForeignSetting> key_ring_;         ///< refused, unless an OpenPGP key is given
    std::map<const Setting*, std::string> places_; ///< in the file, of what it gives
    std::map<const Setting*, std::size_t> ranks_;  ///< of the names that the file has for it
    Variables variables_;                          ///< of the file's lines and of the environment
};

void Settings::Loader::take_file() {
    const auto file = find_settings_file(sources_, settings_.warnings_);
    if (file.empty()) return;
    const auto text = read_text_file(file);
    if (const auto lines = parse_env_file(text, file)) return take_lines(*lines, file);
    for (const auto& item : load_yaml(text, file)) {
        const auto where = fmt::format("{} line {}", file, item.first.Mark().line + 1);
        take_node(item.first.Scalar(), item.second, where, file);
    }
}

void Settings::Loader::take_lines(const std::vector<EnvLine>& lines, const std::string& file) {
    for (const auto& line : lines) {
        if (line.value.empty()) continue;
        if (const auto* setting = setting_of_key(line.name); setting != nullptr) {
            settings_.give(*setting, line.value, file);
            ranks_[setting] = rank_in_file(*setting, line.name);
        } else if (ours_or_walgs(line.name) || stands_for_a_key_or_storage(line.name))
            unknown(line.name, line.value, fmt::format("{} line {}", file, line.line));
        variables_[line.name] = {line.value, file};
    }
}

void Settings::Loader::take_node(const std::string& key, const YAML::Node& value, const std::string& where,
                                 const std::string& file) {
    const auto* setting = setting_of_key(key);
    // A group: keep: {full: 7} is keep_full: 7.
    if (setting == nullptr && value.IsMap() && is_group(key)) {
        for (const auto& item : value) take_node(key + "_" + item.first.Scalar(), item.second, where, file);
        return;
    }
    if (setting == nullptr) return unknown(key, value.IsScalar() ? value.Scalar() : std::string(), where);
    const auto name = fmt::format("{} in {}", key, where);
    const bool storages = setting->type == Type::storages && value.IsMap();
    auto text = storages ? storages_text(value, name) : scalar_text(value, name);
    if (setting->type == Type::number || setting->type == Type::bytes) text = number_text(value, std::move(text));
    if (text.empty()) return;
    const auto [place, first] = places_.try_emplace(setting, where);
    if (!first && settings_.text(setting->name) != text)
        warn(fmt::format("{} is given twice, in {} and in {}; the latter is used", setting->name, place->second, where));
    place->second = where;
    ranks_[setting] = rank_in_file(*setting, key);
    settings_.give(*setting, text, file);
}

void Settings::Loader::take_environment() {
    for (const auto& setting : settings_table()) take_names_of(setting);
    for (const auto& [name, text] : sources_.environment) {
        if (text.empty()) continue;
        variables_[name] = {text, "environment " + name};
        if (setting_of_key(name) != nullptr || name == config_path_variable) continue;
        if (is_of_a_service(name, sources_.environment)) continue;
        if (ours_or_walgs(name) || stands_for_a_key_or_storage(name)) unknown(name, text, "environment");
    }
}

/// The first of a setting's names that the environment has. As for WAL-G, one that stands in for it, as AWS_DEFAULT_REGION does
/// for AWS_REGION, does not go before what the file calls by a better name.
void Settings::Loader::take_names_of(const Setting& setting) {
    std::vector<std::string_view> names{setting.walg_name};
    names.insert(names.end(), setting.aliases.begin(), setting.aliases.end());
    const auto in_file = ranks_.find(&setting);
    std::string_view taken;
    for (std::size_t rank = 0; rank < names.size(); ++rank) {
        const auto name = names[rank];
        const auto found = sources_.environment.find(std::string(name));
        if (found == sources_.environment.end() || found->second.empty()) continue;
        const bool file_is_better = taken.empty() && in_file != ranks_.end() && in_file->second < rank;
        if (file_is_better && found->second != settings_.text(setting.name))
            warn(fmt::format("{} is set, and {} in {}, which is used", name, setting.name, settings_.source(setting.name)));
        else if (taken.empty() && !file_is_better) {
            settings_.give(setting, found->second, fmt::format("environment {}", name));
            taken = name;
        } else if (!taken.empty() && found->second != sources_.environment.at(std::string(taken)))
            warn(fmt::format("both {} and {} are set; {} is used", taken, name, taken));
    }
}

void Settings::Loader::take_credentials() {
    // Other services' credentials are none of ours: only what a setting is called counts.
    for (const auto& [name, text] : sources_.credentials) {
        const auto* setting = setting_of_key(name);
        if (setting != nullptr && !text.empty()) settings_.give(*setting, text, fmt::format("credential {}", name));
    }
}

void Settings::Loader::take_command_line() {
    for (const auto& [key, text] : sources_.command_line) {
        auto name = key;
        std::ranges::replace(name, '-', '_');
        const auto* setting = setting_of_key(name);
        if (setting == nullptr)
            unknown(name, text, "command line");
        else
            settings_.give(*setting, text, "command line");
    }
}

/// Where nothing else says where the archive is.
void Settings::Loader::take_fly() {
    if (settings_.given("s3_prefix") || settings_.given("file_prefix")) return;
    for (const auto& [name, text, source] : settings_of_fly(variables_)) {
        if (settings_.given(name) && settings_.text(name) != text)
            warn(fmt::format("{} is set ({}) and in {}, which is used", name, settings_.source(name), source));
        settings_.give(*setting_of_key(name), text, source);
    }
}

void Settings::Loader::unknown(const std::string& key, const std::string& value, const std::string& where) {
    if (asks_for_nothing(bare_name(key), value)) return;
    if (is_foreign(refused_settings(), key)) refuse_foreign({key, where});
    if (is_foreign(key_ring_settings(), key)) {
        key_ring_.push_back({key, where});
        return;
    }
    if (is_foreign(scripts_settings(), key)) return;
    if (is_foreign(unused_settings(), key)) {
        unused_.push_back(key);
        return;
    }
    if (!sources_.walg_compatible)
        throw Error(ErrorKind::misconfigured, fmt::format("{} ({}) is not a setting", key, where), did_you_mean(key));
    warn(fmt::format("{} is unknown ({})", key, where));
}

void Settings::Loader::tell_what_is_passed_over() {
    for (const auto& found : key_ring_) {
        if (!settings_.given("pgp_key") && !settings_.given("pgp_key_path")) refuse_foreign(found);
        warn(fmt::format("{} ({}) is passed over: the OpenPGP key that is given is used", found.key, found.where));
    }
    if (!unused_.empty())
        warn(fmt::format("settings of WAL-G's that change nothing in this version: {}", fmt::join(unused_, ", ")));
    warn_of_another_token();
    for (auto& warning : open_file_warnings(settings_, sources_.daemon)) warn(std::move(warning));
}

/// A token of a person's shell with the keys of a file: the storage refuses the two, and says not why.
void Settings::Loader::warn_of_another_token() {
    const auto token = settings_.source("aws_session_token"), key = settings_.source("aws_secret_access_key");
    const auto of_environment = [](const std::string& source) { return source.starts_with("environment "); };
    if (!settings_.given("aws_session_token") || !settings_.given("aws_secret_access_key")) return;
    if (of_environment(token) && !of_environment(key))
        warn(fmt::format("aws_session_token ({}) goes with the keys of {}: does it belong to them?", token, key));
}

Settings Settings::load(const Sources& sources) { return Loader(sources).load(); }

} // namespace walgd::config
