#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace walgd::storage {

/// Whom a request goes to.
struct HttpServer {
    bool tls = true;
    std::string host;
    std::uint16_t port = 443;
    /// "host" or "host:port" where the port is not the scheme's own: the Host header.
    std::string authority() const;
    friend auto operator<=>(const HttpServer&, const HttpServer&) = default;
};

/// "http://host:port", "https://host", "host:port" (https). Error(misconfigured) names `setting`.
HttpServer parse_endpoint(std::string_view text, std::string_view setting);

/// What Amazon's hosts of a region end in: "amazonaws.com"; China, Europe's sovereign cloud and the closed partitions have
/// others.
std::string_view amazon_domain(std::string_view region);

} // namespace walgd::storage
