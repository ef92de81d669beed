#include "config/archive_url.hpp"

#include "common/base/error.hpp"

#include <charconv>
#include <fmt/format.h>

namespace walgd::config {

std::optional<std::string> percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            out += text[at];
            continue;
        }
        unsigned octet = 0;
        const auto digits = text.substr(at + 1, 2);
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), octet, 16);
        if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) return std::nullopt;
        out += static_cast<char>(octet);
        at += 2;
    }
    return out;
}

std::optional<ArchiveUrl> parse_archive_url(std::string_view text) {
    const auto scheme_end = text.find("://");
    const auto scheme = text.substr(0, scheme_end);
    if (scheme_end == std::string_view::npos || (scheme != "https" && scheme != "http")) return std::nullopt;
    const auto rest = text.substr(scheme_end + 3);
    const auto slash = rest.find('/');
    const auto at = rest.substr(0, slash).rfind('@');
    if (slash == std::string_view::npos || at == std::string_view::npos) return std::nullopt;
    const auto user = rest.substr(0, at), host = rest.substr(at + 1, slash - at - 1);
    auto path = rest.substr(slash + 1);
    while (path.ends_with('/')) path.remove_suffix(1);
    const auto colon = user.find(':');
    const auto bucket_end = path.find('/');
    if (colon == std::string_view::npos || host.empty() || bucket_end == 0 || bucket_end == std::string_view::npos ||
        path.find_first_of("?#") != std::string_view::npos)
        return std::nullopt;
    const auto access_key = percent_decoded(user.substr(0, colon)), secret_key = percent_decoded(user.substr(colon + 1));
    if (!access_key || !secret_key || !percent_decoded(path) || access_key->empty() || secret_key->empty()) return std::nullopt;
    return ArchiveUrl{std::string(scheme) + "://" + std::string(host), "s3://" + std::string(path), *access_key, *secret_key};
}

std::vector<DerivedSetting> settings_of_fly(const Variables& variables) {
    if (const auto given = variables.find("S3_ARCHIVE_CONFIG"); given != variables.end()) {
        const auto& [text, source] = given->second;
        const auto url = parse_archive_url(text);
        if (!url)
            throw Error(ErrorKind::misconfigured,
                        fmt::format("S3_ARCHIVE_CONFIG ({}) is not https://KEY:SECRET@host/bucket/directory", source),
                        "letters of key and secret that mean something in a URL are written as % and two digits");
        return {{"s3_prefix", url->prefix, source},
                {"aws_endpoint", url->endpoint, source},
                {"aws_access_key_id", url->access_key, source},
                {"aws_secret_access_key", url->secret_key, source}};
    }
    const auto bucket = variables.find("BUCKET_NAME"), app = variables.find("FLY_APP_NAME");
    if (bucket == variables.end() || app == variables.end()) return {};
    return {{"s3_prefix", fmt::format("s3://{}/{}", bucket->second.first, app->second.first),
             bucket->second.second + " with FLY_APP_NAME"}};
}

} // namespace walgd::config
