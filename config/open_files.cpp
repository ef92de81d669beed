#include "config/open_files.hpp"

#include "common/base/files.hpp"
#include "common/base/wipe.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

namespace walgd::config {

namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> key_files{"libsodium_key_path", "pgp_key_path", "http_tls_key"};

/// A path that is read as WAL-G reads it may be WAL-G's.
bool is_our_file(const std::string& path) {
    return path.starts_with("/etc/walgd/") || fs::path(path).filename().string().starts_with("walgd");
}

bool is_ours(const Settings& settings, const Setting& setting) {
    return setting.walg_name.starts_with("WALGD_") || is_our_file(settings.source(setting.name));
}

/// An OpenPGP key may be a public one; nobody else's business is only the private.
bool holds_secret(const Setting& setting, const std::string& path) {
    if (setting.name != "pgp_key_path") return true;
    try {
        auto text = read_secret_file(path);
        const WipeAtEnd wiped(text);
        return text.find("BEGIN PGP PUBLIC KEY") == std::string::npos;
    } catch (const Error&) {
        return false; // who needs the key says that it cannot be read
    }
}

/// Storages with no secret among their settings are none of it.
bool is_secret(const Setting& setting, const Settings& settings) {
    if (!setting.secret || !settings.given(setting.name)) return false;
    if (setting.type != Type::storages) return true;
    const auto storages = nlohmann::json::parse(settings.text(setting.name));
    for (const auto& storage : storages) {
        for (const auto& [key, value] : storage.items()) {
            if (const auto* own = setting_of_key(key); own != nullptr && own->secret) return true;
        }
    }
    return false;
}

/// Refuses it, or returns the words to warn with.
std::string judge(const std::string& path, const std::string& what, bool refuse) {
    const auto text = fmt::format("{} holds {} and can be read by everyone", path, what);
    if (refuse)
        throw Error(ErrorKind::misconfigured, text,
                    fmt::format("chmod 640 {}, with the group that walgd runs as (in Kubernetes: defaultMode: 0440)", path));
    return text + ": chmod 640, with the group that walgd runs as";
}

} // namespace

bool open_to_everyone(const std::string& path) {
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0 || (about.st_mode & S_IROTH) == 0) return false;
    std::error_code error;
    auto folder = fs::canonical(path, error).parent_path();
    for (; !error && !folder.empty(); folder = folder.parent_path()) {
        if (::stat(folder.c_str(), &about) != 0 || (about.st_mode & S_IXOTH) == 0) return false;
        if (folder == folder.root_path()) break;
    }
    return !error;
}

std::vector<std::string> open_file_warnings(const Settings& settings, bool daemon) {
    std::vector<std::string> warnings;
    std::string told;
    for (const auto& setting : settings_table()) {
        const auto source = settings.source(setting.name);
        if (!is_secret(setting, settings) || source == told || !open_to_everyone(source)) continue;
        told = source; // one secret of a file is enough
        warnings.push_back(judge(source, std::string(setting.name), daemon && is_our_file(source)));
    }
    if (!daemon) return warnings;
    for (const auto& setting : settings_table()) {
        if (std::ranges::find(key_files, setting.name) == key_files.end() || !settings.given(setting.name)) continue;
        const auto path = settings.text(setting.name);
        if (!open_to_everyone(path) || !holds_secret(setting, path)) continue;
        warnings.push_back(judge(path, fmt::format("the key of {}", setting.name), is_ours(settings, setting)));
    }
    return warnings;
}

} // namespace walgd::config
