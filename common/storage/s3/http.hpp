#pragma once
#include "common/base/async.hpp"
#include "common/base/bytes.hpp"
#include "common/storage/s3/proxy.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace walgd::storage {

using HttpFields = std::vector<std::pair<std::string, std::string>>;

/// One request; server and way to it are the transport's.
struct HttpRequest {
    std::string method;
    std::string path = "/"; ///< percent-encoded already
    HttpFields query;       ///< not encoded
    HttpFields headers;     ///< lower-case names; Host and Content-Length are added
    ByteView body;          ///< must live until the answer's head is there
    std::string target() const;
};

/// With padding (RFC 4648, section 4).
std::string base64(ByteView bytes);
/// Percent-encoding as signature version 4 wants it; `keep_slash` for paths.
std::string uri_encoded(std::string_view text, bool keep_slash);

/// An answer without its body.
struct HttpHead {
    int status = 0;
    std::map<std::string, std::string> headers; ///< lower-case names
    std::optional<std::uint64_t> content_length;
    bool resent = false; ///< the request was sent twice: once to a connection that ended without an answer
    std::string header(const std::string& name) const;
};

/// An answer whose body is read as it comes. Given back to the pool when it was read to the end; else its connection is closed.
class HttpAnswer {
public:
    virtual ~HttpAnswer() = default;
    virtual const HttpHead& head() const = 0;
    /// Fills `into`; fewer bytes only at the end. A body that ends early is Error(transient).
    virtual awaitable<std::size_t> read(MutableBytes into) = 0;
};

/// As S3Options has them.
struct TransportOptions {
    std::string ca_file; ///< PEM; empty: the system's
    unsigned connections_max = 32;
    std::chrono::milliseconds connect_timeout{10000}; ///< for each of: look-up, connection, TLS and tunnel
    std::chrono::milliseconds stall_timeout{30000};   ///< no byte either way for this long
    ProxyRules proxies;
};

/// Keep-alive connections over HTTP/1.1, plain and TLS. Everything on the one I/O thread. No answer is Error(transient); a
/// certificate that does not hold is Error(misconfigured).
class Transport {
public:
    virtual ~Transport() = default;
    /// Sends the request and returns when the answer's head is there.
    virtual awaitable<std::unique_ptr<HttpAnswer>> open(HttpServer server, HttpRequest request) = 0;
    /// When the certificates end that servers showed last, by "host:port".
    virtual std::map<std::string, std::chrono::system_clock::time_point> certificates() const { return {}; }
};
std::unique_ptr<Transport> make_transport(TransportOptions options, asio::any_io_executor io);

/// The rest of an answer's body as text; Error(transient) when there is more than `bytes_max`.
awaitable<std::string> read_text(HttpAnswer& answer, std::size_t bytes_max);

} // namespace walgd::storage
