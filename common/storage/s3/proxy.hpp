#pragma once
#include "common/storage/s3/endpoint.hpp"

#include <optional>
#include <string>
#include <vector>

namespace walgd::storage {

/// An HTTP proxy that is spoken to in plain: requests to plain servers go through it whole, to those with TLS by CONNECT.
struct Proxy {
    HttpServer server;
    std::string authorization; ///< for Proxy-Authorization; empty without a user
};

/// Values of HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
struct ProxyWords {
    std::string https, http, none;
};

/// Which servers are reached by a proxy, as the HTTP library of WAL-G reads those variables (Go's httpproxy).
class ProxyRules {
public:
    ProxyRules() = default;
    /// Error(misconfigured) when a proxy is no http://[user:password@]host[:port].
    explicit ProxyRules(const ProxyWords& words);
    /// Nothing: reached without one. So are always this machine, and what gives a machine its credentials (link-local addresses).
    std::optional<Proxy> proxy_of(const HttpServer& server) const;

private:
    bool excepted(const HttpServer& server) const;

    std::optional<Proxy> https_, http_;
    std::vector<std::string> exceptions_;
};

} // namespace walgd::storage
