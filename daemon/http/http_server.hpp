#pragma once
#include "common/base/async.hpp"
#include "common/base/log.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace walgd::daemon {

/// A request, as far as the pages need it. The body has 64 KiB at most.
struct PageQuestion {
    std::string method, path, query, body;
    bool trusted = false; ///< it carried the token
};

/// What is sent back.
struct PageAnswer {
    unsigned status = 200;
    std::string content_type = "text/plain; charset=utf-8";
    std::string body;
};

/// Where it listens, and who may ask.
struct HttpOptions {
    std::string listen;                   ///< "127.0.0.1:9351", "[::]:9351"; port 0 takes a free one
    std::string token;                    ///< empty: none, then nothing that changes anything is served
    std::string tls_certificate, tls_key; ///< PEM files; empty: plain
    bool open = false;                    ///< others may read metrics and health without TLS and token
};

/// Serves metrics, health, status and the page. Not on the path of WAL: few connections, small requests, everything within time
/// limits. On the I/O thread.
///
/// Who may: at a loopback address everybody on this machine reads; elsewhere TLS and token are wanted, or `open`, which serves
/// /metrics, /livez and /readyz alone. What changes something (any method but GET and HEAD) wants the token everywhere: a header
/// that no other site's page can send. A loopback server answers to names of this machine only (Host), so that no page
/// elsewhere can reach it through a name of its own.
class HttpServer {
public:
    struct Pages {
        std::function<awaitable<PageAnswer>(PageQuestion)> answer;
        /// What GET /events sends every second, as one line of JSON.
        std::function<std::string()> event;
    };
    /// Listens. Error(misconfigured) when the address cannot be had, the files cannot be used, or others could reach it unasked.
    HttpServer(asio::any_io_executor io, Log& log, HttpOptions options, Pages pages);
    ~HttpServer();
    /// The same refusals, but for an address that cannot be had; listens nowhere.
    static void check(asio::any_io_executor io, Log& log, HttpOptions options);

    /// Until cancelled; then waits for its connections.
    awaitable<void> run();
    /// When http_tls_cert ends; nothing without it.
    std::optional<std::chrono::system_clock::time_point> certificate_end() const;
    /// "http://127.0.0.1:9351"
    std::string address() const;

private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

/// Whether a Host header names this machine itself: localhost, a loopback address, with or without a port.
bool names_this_machine(std::string_view host);
/// "host:port" and "[host]:port" apart; nothing if it is neither.
struct HttpPlace {
    std::string host;
    std::uint16_t port = 0;
};
std::optional<HttpPlace> parse_http_place(std::string_view text);

} // namespace walgd::daemon
