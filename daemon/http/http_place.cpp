#include "daemon/http/http_server.hpp"

#include "common/base/number_text.hpp"

namespace walgd::daemon {

std::optional<HttpPlace> parse_http_place(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    auto host = text.substr(0, colon);
    const auto port = text.substr(colon + 1);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed)
        host = host.substr(1, host.size() - 2);
    else if (host.empty() || host.find(':') != std::string_view::npos)
        return std::nullopt;
    const auto number = whole_number<std::uint16_t>(port);
    return number ? std::optional(HttpPlace{std::string(host), *number}) : std::nullopt;
}

bool names_this_machine(std::string_view host) {
    const auto colon = host.rfind(':');
    const bool has_port = colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos;
    const auto name = has_port ? host.substr(0, colon) : host;
    return name == "localhost" || name == "[::1]" ||
           (name.starts_with("127.") && name.find_first_not_of("0123456789.") == name.npos);
}

} // namespace walgd::daemon
