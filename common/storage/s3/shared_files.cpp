#include "common/storage/s3/shared_files.hpp"

#include "common/base/bytes.hpp"
#include "common/base/files.hpp"
#include "common/base/in_quotes.hpp"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <iterator>
#include <sstream>

namespace walgd::storage {

Profile parse_profile(std::string_view ini, std::string_view profile) {
    Profile found;
    std::istringstream lines{std::string(ini)};
    bool inside = false;
    for (std::string line; std::getline(lines, line);) {
        const auto text = trimmed(line);
        if (text.empty() || text[0] == '#' || text[0] == ';') continue;
        if (text.front() == '[' && text.back() == ']') {
            const auto name = trimmed(text.substr(1, text.size() - 2));
            inside = name == profile || name == "profile " + std::string(profile);
            continue;
        }
        const auto equals = text.find('=');
        if (inside && equals != text.npos) found[std::string(trimmed(text.substr(0, equals)))] = trimmed(text.substr(equals + 1));
    }
    return found;
}

std::string value_of(const Profile& profile, const std::string& name) {
    const auto found = profile.find(name);
    return found == profile.end() ? std::string() : found->second;
}

std::string_view foreign_source(const Profile& profile) {
    constexpr std::string_view names[] = {"credential_process", "sso_session",    "sso_start_url",
                                          "credential_source",  "source_profile", "web_identity_token_file"};
    const auto found = std::ranges::find_if(names, [&](std::string_view name) { return profile.contains(std::string(name)); });
    return found == std::end(names) ? std::string_view() : *found;
}

SharedFile read_shared(const std::string& named, const std::string& otherwise, Log& log) {
    SharedFile file{named.empty() ? otherwise : named, "", !named.empty()};
    std::error_code not_known;
    if (!std::filesystem::exists(file.path, not_known) && !not_known) {
        if (!named.empty())
            throw Error(ErrorKind::misconfigured, fmt::format("the credentials file {} is not there", file.path),
                        "AWS_SHARED_CREDENTIALS_FILE or AWS_CONFIG_FILE names it");
        return file;
    }
    try {
        file.text = read_text_file(file.path);
    } catch (const Error& error) {
        if (!named.empty()) throw;
        // Another user's home, as in containers: it may hold nothing that is meant for us.
        log.warn("event=credentials_passed_over error={}", in_quotes(error.what()));
    }
    return file;
}

std::optional<Credentials> keys_of(const std::vector<SharedFile>& files, const std::string& name) {
    for (const auto& file : files) {
        const auto profile = parse_profile(file.text, name);
        Credentials keys{value_of(profile, "aws_access_key_id"), value_of(profile, "aws_secret_access_key"),
                         value_of(profile, "aws_session_token"), std::nullopt, fmt::format("profile {} of {}", name, file.path)};
        if (!keys.access_key.empty() && !keys.secret_key.empty()) return keys;
    }
    return std::nullopt;
}

} // namespace walgd::storage
