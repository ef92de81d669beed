#include "daemon/http/http_server.hpp"

#include "common/base/certificate.hpp"
#include "common/base/counted.hpp"
#include "common/base/in_quotes.hpp"

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <optional>

namespace walgd::daemon {

namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using boost::system::error_code;
using tcp = asio::ip::tcp;

namespace {

constexpr std::size_t page_connections_max = 64;
constexpr unsigned events_max = 16;
constexpr std::string_view events_path = "/events", events_type = "text/event-stream";
constexpr std::uint32_t head_bytes_max = 16 << 10;
constexpr std::uint64_t body_bytes_max = 64 << 10;
constexpr std::chrono::seconds request_within{10}, idle_within{60}, event_every{1};

using PageRequest = http::request<http::string_body>;
using Response = http::response<http::string_body>;

bool same_secret(std::string_view left, std::string_view right) {
    return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

/// What came is not HTTP, or too much of it; anything else that ends a connection needs no answer.
bool is_bad_request(const error_code& error) {
    return error.category() == http::make_error_code(http::error::bad_method).category() && error != http::error::end_of_stream &&
           error != http::error::partial_message;
}

Response response_of(PageAnswer answer, bool keep, bool head_only) {
    Response response(http::int_to_status(answer.status), 11);
    response.set(http::field::content_type, answer.content_type);
    response.set(http::field::cache_control, "no-store");
    response.set("x-content-type-options", "nosniff");
    response.set("x-frame-options", "DENY");
    response.set("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                                            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'");
    response.keep_alive(keep);
    response.body() = std::move(answer.body);
    response.prepare_payload();
    if (head_only) response.body().clear();
    return response;
}

PageAnswer refusal(unsigned status, std::string text) { return {status, "text/plain; charset=utf-8", std::move(text) + "\n"}; }

} // namespace

struct HttpServer::Parts {
    Parts(asio::any_io_executor executor, Log& logger, HttpOptions given, Pages what)
        : io(executor), log(logger), options(std::move(given)), pages(std::move(what)), acceptor(io),
          connections(
              io, [this](std::exception_ptr failure) { log.debug("event=http_ended error={}", in_quotes(describe(failure))); }) {}

    void use_tls();
    tcp::endpoint endpoint();
    void listen();
    awaitable<void> accept();
    awaitable<void> welcome(tcp::socket socket);
    template <class Stream> awaitable<void> serve(Stream& stream);
    template <class Stream> awaitable<void> send_events(Stream& stream);
    bool trusted(const PageRequest& request) const;
    std::optional<PageAnswer> refused(const PageRequest& request, const PageQuestion& question) const;
    awaitable<PageAnswer> answer_to(const PageRequest& request) const;

    asio::any_io_executor io;
    Log& log;
    HttpOptions options;
    Pages pages;
    std::optional<ssl::context> tls;
    tcp::acceptor acceptor;
    bool loopback = false;
    unsigned event_streams = 0;
    TaskGroup connections;
};

void HttpServer::Parts::use_tls() {
    if (options.tls_certificate.empty() && options.tls_key.empty()) return;
    if (options.tls_certificate.empty() || options.tls_key.empty())
        throw Error(ErrorKind::misconfigured, "http_tls_cert and http_tls_key go together, and one of them is missing");
    tls.emplace(ssl::context::tls_server);
    tls->set_options(ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
    error_code error;
    tls->use_certificate_chain_file(options.tls_certificate, error);
    if (error)
        throw Error(ErrorKind::misconfigured,
                    fmt::format("cannot use {} as http_tls_cert: {}", options.tls_certificate, error.message()),
                    "a PEM file with the certificate and those that signed it");
    tls->use_private_key_file(options.tls_key, ssl::context::pem, error);
    if (error)
        throw Error(ErrorKind::misconfigured, fmt::format("cannot use {} as http_tls_key: {}", options.tls_key, error.message()),
                    "a PEM file with the private key of http_tls_cert");
}

/// Where to listen, if others may then reach what they could.
tcp::endpoint HttpServer::Parts::endpoint() {
    const auto place = parse_http_place(options.listen);
    error_code error;
    const auto host =
        place ? asio::ip::make_address(place->host == "localhost" ? "127.0.0.1" : place->host, error) : asio::ip::address();
    if (!place || error)
        throw Error(ErrorKind::misconfigured,
                    fmt::format("http_listen is '{}', and should be an address and a port", options.listen),
                    "such as 127.0.0.1:9351, or [::1]:9351");
    loopback = host.is_loopback();
    if (!loopback && !options.open && (!tls || options.token.empty()))
        throw Error(
            ErrorKind::misconfigured,
            fmt::format("http_listen is {}, which other machines may reach, without TLS and a token", options.listen),
            "set http_tls_cert, http_tls_key and http_token; or http_open, which lets everybody read metrics and health, and no "
            "more; or listen at 127.0.0.1");
    return {host, place->port};
}

void HttpServer::Parts::listen() {
    const auto where = endpoint();
    error_code error;
    acceptor.open(where.protocol());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(where, error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error)
        throw Error(ErrorKind::misconfigured, fmt::format("cannot listen at {}: {}", options.listen, error.message()),
                    "does another exporter have that port? WALGD_HTTP_LISTEN takes another one");
}

bool HttpServer::Parts::trusted(const PageRequest& request) const {
    constexpr std::string_view bearer = "Bearer ";
    const std::string_view given = request[http::field::authorization];
    // A scheme's name may be in any case: RFC 9110, 11.1.
    const bool names_token = beast::iequals(given.substr(0, bearer.size()), bearer);
    return !options.token.empty() && names_token && same_secret(given.substr(bearer.size()), options.token);
}

/// Nothing: it may be answered.
std::optional<PageAnswer> HttpServer::Parts::refused(const PageRequest& request, const PageQuestion& question) const {
    const bool reads = question.method == "GET" || question.method == "HEAD";
    const bool for_all = question.path == "/metrics" || question.path == "/livez" || question.path == "/readyz";
    if (loopback && !names_this_machine(request[http::field::host]))
        return refusal(421, "this is walgd at a loopback address: ask for it by 127.0.0.1 or localhost");
    if (!loopback && !question.trusted && !(for_all && reads && options.open))
        return refusal(401, "walgd's token is wanted here: Authorization: Bearer TOKEN");
    if (!reads && !question.trusted)
        return refusal(options.token.empty() ? 403 : 401, options.token.empty()
                                                              ? "walgd has no http_token, so nothing can be started here"
                                                              : "walgd's token is wanted here: Authorization: Bearer TOKEN");
    return std::nullopt;
}

/// A line a second, until the reader leaves or is too slow.
template <class Stream> awaitable<void> HttpServer::Parts::send_events(Stream& stream) {
    const Counted stream_of_events(event_streams);
    std::string text =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\nconnection: close\r\n\r\n";
    for (;;) {
        text += "data: " + pages.event() + "\n\n";
        beast::get_lowest_layer(stream).expires_after(request_within);
        const auto [error, count] = co_await asio::async_write(stream, asio::buffer(text), asio::as_tuple(asio::use_awaitable));
        if (error) co_return;
        text.clear();
        co_await sleep_for(event_every);
    }
}

awaitable<PageAnswer> HttpServer::Parts::answer_to(const PageRequest& request) const {
    const std::string_view target = request.target();
    const auto mark = std::min(target.find('?'), target.size());
    PageQuestion question{std::string(request.method_string()), std::string(target.substr(0, mark)),
                          std::string(target.substr(std::min(mark + 1, target.size()))), request.body(), trusted(request)};
    if (auto no = refused(request, question)) co_return std::move(*no);
    if (question.path == events_path && question.method == "GET") {
        if (event_streams >= events_max) co_return refusal(503, "enough pages are open already");
        co_return PageAnswer{200, std::string(events_type), {}};
    }
    auto answer = co_await pages.answer(std::move(question));
    co_return answer;
}

template <class Stream> awaitable<void> HttpServer::Parts::serve(Stream& stream) {
    beast::flat_buffer buffer;
    for (bool keep = true; keep;) {
        http::request_parser<http::string_body> parser;
        parser.header_limit(head_bytes_max);
        parser.body_limit(body_bytes_max);
        beast::get_lowest_layer(stream).expires_after(idle_within);
        const auto [error, count] = co_await http::async_read(stream, buffer, parser, asio::as_tuple(asio::use_awaitable));
        if (error && !is_bad_request(error)) co_return;
        const auto& request = parser.get();
        keep = !error && request.keep_alive();
        PageAnswer answer;
        if (error) {
            answer = refusal(400, error.message());
        } else {
            // The deadline is for reading and writing: what is done in between takes the time it takes.
            beast::get_lowest_layer(stream).expires_never();
            answer = co_await answer_to(request);
        }
        if (answer.content_type == events_type) {
            co_await send_events(stream);
            co_return;
        }
        const auto response = response_of(std::move(answer), keep, request.method() == http::verb::head);
        beast::get_lowest_layer(stream).expires_after(request_within);
        const auto [write_error, written] = co_await http::async_write(stream, response, asio::as_tuple(asio::use_awaitable));
        if (write_error) co_return;
    }
}

awaitable<void> HttpServer::Parts::welcome(tcp::socket socket) {
    if (!tls) {
        beast::tcp_stream stream(std::move(socket));
        co_await serve(stream);
        error_code ignored;
        stream.socket().shutdown(tcp::socket::shutdown_both, ignored);
        co_return;
    }
    beast::ssl_stream<beast::tcp_stream> stream(beast::tcp_stream(std::move(socket)), *tls);
    beast::get_lowest_layer(stream).expires_after(request_within);
    const auto [error] = co_await stream.async_handshake(ssl::stream_base::server, asio::as_tuple(asio::use_awaitable));
    if (error) co_return;
    co_await serve(stream);
    beast::get_lowest_layer(stream).expires_after(request_within);
    co_await stream.async_shutdown(asio::as_tuple(asio::use_awaitable));
}

awaitable<void> HttpServer::Parts::accept() {
    for (;;) {
        auto [error, socket] = co_await acceptor.async_accept(asio::as_tuple(asio::use_awaitable));
        if (error == asio::error::operation_aborted) co_return;
        if (error) {
            // No descriptors left, or the like: it is WAL that needs them.
            co_await sleep_for(std::chrono::seconds(1));
            continue;
        }
        if (connections.size() >= page_connections_max) continue; // closed: a page can be loaded again
        connections.spawn(welcome(std::move(socket)));
    }
}

HttpServer::HttpServer(asio::any_io_executor io, Log& log, HttpOptions options, Pages pages)
    : parts_(std::make_unique<Parts>(std::move(io), log, std::move(options), std::move(pages))) {
    parts_->use_tls();
    parts_->listen();
}

HttpServer::~HttpServer() = default;

void HttpServer::check(asio::any_io_executor io, Log& log, HttpOptions options) {
    Parts parts(std::move(io), log, std::move(options), {});
    parts.use_tls();
    parts.endpoint();
}

std::optional<std::chrono::system_clock::time_point> HttpServer::certificate_end() const {
    if (!parts_->tls) return std::nullopt;
    return walgd::certificate_end(SSL_CTX_get0_certificate(parts_->tls->native_handle()));
}

std::string HttpServer::address() const {
    return fmt::format("{}://{}", parts_->tls ? "https" : "http", [this] {
        const auto endpoint = parts_->acceptor.local_endpoint();
        const auto host = endpoint.address().to_string();
        return endpoint.address().is_v6() ? fmt::format("[{}]:{}", host, endpoint.port())
                                          : fmt::format("{}:{}", host, endpoint.port());
    }());
}

awaitable<void> HttpServer::run() {
    std::exception_ptr failure;
    try {
        co_await parts_->accept();
    } catch (...) {
        failure = std::current_exception();
    }
    parts_->acceptor.close();
    parts_->connections.cancel();
    // Cancelled or not: they are waited for.
    co_await asio::this_coro::throw_if_cancelled(false);
    co_await parts_->connections.join();
    if (failure) std::rethrow_exception(failure);
}

} // namespace walgd::daemon
