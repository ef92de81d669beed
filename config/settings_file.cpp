#include "config/settings_file.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <yaml-cpp/yaml.h>

namespace walgd::config {

namespace {

/// In WAL-G's order. A form that is not read here is an error where it is met: passed over, it may be the one with the key.
constexpr std::array walg_endings{"json", "toml", "yaml",   "yml",    "properties", "props",
                                  "prop", "hcl",  "tfvars", "dotenv", "env",        "ini"};

} // namespace

std::string walg_file_in(const std::string& home) {
    std::error_code error;
    for (const auto* ending : walg_endings) {
        auto place = fmt::format("{}/.walg.{}", home, ending);
        if (!home.empty() && std::filesystem::exists(place, error)) return place;
    }
    return {};
}

std::string find_settings_file(const Sources& sources, std::vector<std::string>& warnings) {
    namespace fs = std::filesystem;
    auto named = sources.config_file;
    if (const auto found = sources.environment.find(std::string(config_path_variable));
        named.empty() && found != sources.environment.end())
        named = found->second;
    std::error_code error;
    if (!named.empty()) {
        const bool there = fs::exists(named, error);
        if (error)
            throw Error(ErrorKind::misconfigured,
                        fmt::format("cannot read the configuration file {}: {}", named, error.message()),
                        "--config or WALG_CONFIG_PATH names it; is it for this user?");
        if (!there)
            throw Error(ErrorKind::misconfigured, fmt::format("the configuration file {} is not there", named),
                        "--config or WALG_CONFIG_PATH names it");
        return named;
    }
    const auto of_walg = walg_file_in(sources.home);
    const bool of_host = fs::exists(sources.host_file, error);
    if (of_host && !of_walg.empty())
        warnings.push_back(fmt::format("{} is passed over, a key in it too: {} goes before it", of_walg, sources.host_file));
    if (of_host) return sources.host_file;
    if (error)
        warnings.push_back(fmt::format("{} is passed over: {} (is it for this user? --config names another file)",
                                       sources.host_file, error.message()));
    return of_walg;
}

YAML::Node load_yaml(const std::string& text, const std::string& path) {
    try {
        auto node = YAML::Load(text);
        if (!node.IsNull() && !node.IsMap())
            throw Error(ErrorKind::misconfigured, fmt::format("{} is not a list of \"name: value\" lines", path),
                        "one setting a line, as s3_prefix: s3://bucket/path; walg config --reference tells their names");
        return node;
    } catch (const YAML::Exception& error) {
        // JSON may write a letter as two escapes, which YAML does not know.
        const auto json = nlohmann::ordered_json::parse(text, nullptr, false);
        if (json.is_object()) return YAML::Load(json.dump());
        throw Error(ErrorKind::misconfigured,
                    fmt::format("{} line {} is neither YAML nor JSON: {}", path, error.mark.line + 1, error.msg));
    }
}

std::string scalar_text(const YAML::Node& node, const std::string& where) {
    if (node.IsNull()) return {};
    if (node.IsScalar()) return node.Scalar();
    throw Error(ErrorKind::misconfigured, fmt::format("{} is a list or a map, and should be one value", where));
}

std::string number_text(const YAML::Node& node, std::string text) {
    // Quoted, its tag is "!".
    if (!node.IsScalar() || node.Tag() == "!" || text.find_first_of(".eE") == std::string::npos) return text;
    constexpr double exact_max = 1ULL << 53;
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = error == std::errc() && end == text.data() + text.size() && number >= 0 && number <= exact_max &&
                       number == std::floor(number);
    return whole ? fmt::format("{}", static_cast<std::uint64_t>(number)) : text;
}

std::string storages_text(const YAML::Node& storages, const std::string& where) {
    nlohmann::ordered_json all = nlohmann::ordered_json::object();
    for (const auto& storage : storages) {
        const auto name = storage.first.Scalar();
        auto& settings = all[name] = nlohmann::ordered_json::object();
        if (!storage.second.IsMap())
            throw Error(ErrorKind::misconfigured, fmt::format("{}: {} is not a map of settings", where, name),
                        "each storage has its settings below its name, as east: {s3_prefix: s3://bucket/path}");
        for (const auto& setting : storage.second)
            settings[setting.first.Scalar()] =
                scalar_text(setting.second, fmt::format("{} of {} in {}", setting.first.Scalar(), name, where));
    }
    return all.dump();
}

} // namespace walgd::config
