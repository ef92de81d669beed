#include "common/storage/s3/endpoint.hpp"

#include "common/base/error.hpp"

#include <charconv>
#include <fmt/format.h>

namespace walgd::storage {

std::string HttpServer::authority() const {
    const auto name = host.find(':') != std::string::npos ? "[" + host + "]" : host;
    return port == (tls ? 443 : 80) ? name : fmt::format("{}:{}", name, port);
}

HttpServer parse_endpoint(std::string_view text, std::string_view setting) {
    const auto wrong = [&](std::string_view why) -> Error {
        return Error(ErrorKind::misconfigured, fmt::format("{}={} is not an endpoint: {}", setting, text, why),
                     "it has the form http://host:port or https://host");
    };
    if (text.find('@') != std::string_view::npos) // a password may stand before it: not to be shown
        throw Error(ErrorKind::misconfigured, fmt::format("{} is not an endpoint: it has a user or a password in it", setting),
                    "it has the form http://host:port or https://host; credentials have settings of their own");
    HttpServer server;
    auto rest = text;
    if (rest.starts_with("https://"))
        rest.remove_prefix(8);
    else if (rest.starts_with("http://")) {
        rest.remove_prefix(7);
        server.tls = false;
    } else if (rest.find("://") != std::string_view::npos)
        throw wrong("its scheme is neither http nor https");
    server.port = server.tls ? 443 : 80;
    while (rest.ends_with('/')) rest.remove_suffix(1);
    if (rest.find('/') != std::string_view::npos) throw wrong("it has a path");
    std::string_view port;
    if (rest.starts_with('[')) {
        const auto end = rest.find(']');
        if (end == std::string_view::npos) throw wrong("a bracket is missing");
        server.host = rest.substr(1, end - 1);
        port = rest.substr(end + 1);
    } else {
        const auto colon = rest.find(':');
        server.host = rest.substr(0, colon);
        if (colon != std::string_view::npos) port = rest.substr(colon);
    }
    if (server.host.empty()) throw wrong("it has no host");
    if (!port.empty()) {
        if (port.front() != ':') throw wrong("behind the bracket comes no colon");
        port.remove_prefix(1);
        const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), server.port);
        if (error != std::errc() || end != port.data() + port.size() || server.port == 0)
            throw wrong("its port is no number from 1 to 65535");
    }
    return server;
}

std::string_view amazon_domain(std::string_view region) {
    if (region.starts_with("cn-")) return "amazonaws.com.cn";
    if (region.starts_with("us-iso-")) return "c2s.ic.gov";
    if (region.starts_with("us-isob-")) return "sc2s.sgov.gov";
    if (region.starts_with("us-isof-")) return "csp.hci.ic.gov";
    if (region.starts_with("eu-isoe-")) return "cloud.adc-e.uk";
    if (region.starts_with("eusc-")) return "amazonaws.eu";
    return "amazonaws.com";
}

} // namespace walgd::storage
