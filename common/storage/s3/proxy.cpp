#include "common/storage/s3/proxy.hpp"

#include "common/base/bytes.hpp"
#include "common/base/error.hpp"
#include "common/storage/s3/http.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <charconv>
#include <fmt/format.h>

namespace walgd::storage {

namespace {

namespace ip = boost::asio::ip;

std::optional<ip::address> address_in(const std::string& text) {
    boost::system::error_code error;
    const auto address = ip::make_address(text, error);
    return error ? std::nullopt : std::optional(address);
}

std::string percent_decoded(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto byte = text[0] == '%' ? from_hex(text.substr(1, 2)) : std::nullopt;
        out += byte && byte->size() == 1 ? (*byte)[0] : text[0];
        text.remove_prefix(byte && byte->size() == 1 ? 3 : 1);
    }
    return out;
}

/// `text` may hold a password: no error quotes it.
std::optional<Proxy> parse_proxy(std::string_view text, std::string_view variable) {
    if (text.empty()) return std::nullopt;
    constexpr std::string_view scheme = "http://";
    auto rest = text;
    if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
    const Error wrong(ErrorKind::misconfigured, fmt::format("the proxy that {} names is none that speaks plain HTTP", variable),
                      "it has the form http://host:port or http://user:password@host:port, with %2F for a slash in a password");
    if (rest.find("://") != std::string_view::npos) throw wrong;
    rest = rest.substr(0, rest.find('/'));
    Proxy proxy;
    if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
        proxy.authorization = "Basic " + base64(bytes_of(percent_decoded(rest.substr(0, at))));
        rest.remove_prefix(at + 1);
    }
    try {
        proxy.server = parse_endpoint(std::string(scheme) + std::string(rest), variable);
    } catch (const Error&) {
        throw wrong;
    }
    return proxy;
}

bool in_network(const ip::address& address, const std::string& network) {
    boost::system::error_code error;
    if (address.is_v4()) {
        const auto found = ip::make_network_v4(network, error);
        return !error && ip::make_network_v4(address.to_v4(), found.prefix_length()).canonical() == found.canonical();
    }
    const auto found = ip::make_network_v6(network, error);
    return !error && ip::make_network_v6(address.to_v6(), found.prefix_length()).canonical() == found.canonical();
}

bool always_direct(const HttpServer& server, const std::optional<ip::address>& address) {
    const auto name = lower_case(server.host);
    if (name == "localhost" || name.ends_with(".localhost")) return true;
    return address && (address->is_loopback() || in_network(*address, "169.254.0.0/16") || in_network(*address, "fe80::/10"));
}

/// An entry's port; 0 for any. What is left of the entry is a name, an address or a network.
unsigned port_of(std::string& entry) {
    const auto colon = entry.rfind(':');
    const bool bare_v6 = entry.find(':') != colon && !entry.starts_with('[');
    unsigned port = 0;
    if (colon != std::string::npos && !bare_v6 && entry.find(']', colon) == std::string::npos) {
        std::from_chars(entry.data() + colon + 1, entry.data() + entry.size(), port);
        entry.erase(colon);
    }
    if (entry.starts_with('[') && entry.ends_with(']')) entry = entry.substr(1, entry.size() - 2);
    return port;
}

} // namespace

ProxyRules::ProxyRules(const ProxyWords& words)
    : https_(parse_proxy(words.https, "HTTPS_PROXY")), http_(parse_proxy(words.http, "HTTP_PROXY")) {
    std::string_view rest = words.none;
    while (!rest.empty()) {
        const auto comma = std::min(rest.find(','), rest.size());
        if (const auto entry = trimmed(rest.substr(0, comma)); !entry.empty()) exceptions_.push_back(lower_case(entry));
        rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
}

std::optional<Proxy> ProxyRules::proxy_of(const HttpServer& server) const {
    const auto& proxy = server.tls ? https_ : http_;
    return proxy && !excepted(server) ? proxy : std::nullopt;
}

bool ProxyRules::excepted(const HttpServer& server) const {
    const auto address = address_in(server.host);
    if (always_direct(server, address)) return true;
    const auto name = lower_case(server.host);
    return std::ranges::any_of(exceptions_, [&](std::string entry) {
        if (entry == "*") return true;
        if (entry.find('/') != std::string::npos) return address && in_network(*address, entry);
        const auto port = port_of(entry);
        if (port != 0 && port != server.port) return false;
        if (address) return address_in(entry) == address;
        if (entry.starts_with("*.")) entry.erase(0, 1);
        if (entry.starts_with('.')) return name.ends_with(entry);
        return name == entry || name.ends_with("." + entry);
    });
}

} // namespace walgd::storage
