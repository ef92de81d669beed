// The one file that knows Beast and TLS.
#include "common/base/certificate.hpp"
#include "common/base/slots.hpp"
#include "common/storage/s3/http.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <sys/socket.h>

namespace walgd::storage {

namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using boost::system::error_code;
using tcp = asio::ip::tcp;

namespace {

/// The most that is handed to the system, or encrypted, at once.
constexpr std::size_t slice_bytes = 256 << 10;
/// What is read at once of an answer's head, and of a body in chunks: Beast asks for as much as its buffer has room for.
constexpr std::size_t head_read_bytes = 2 << 10;
constexpr std::size_t parsed_read_bytes = 64 << 10;
/// The least of it, where a head is longer than expected.
constexpr std::size_t head_more_bytes = 512;
constexpr std::chrono::seconds idle_max{20};
constexpr unsigned proxy_wants_user = 407;

using Parser = http::response_parser<http::buffer_body>;

/// One connection, plain or TLS.
class Connection {
public:
    /// `trust` for a server that speaks TLS, else nothing.
    Connection(HttpServer server, asio::any_io_executor io, ssl::context* trust, const TransportOptions& options)
        : server_(std::move(server)), proxy_(options.proxies.proxy_of(server_)), options_(options), trust_(trust), tcp_(io),
          io_(io) {
        buffer_.reserve(head_read_bytes);
    }

    const HttpServer& server() const { return server_; }
    bool sent() const { return sent_; } ///< the last request, to its end
    bool stalled() const { return stalled_; }
    /// Of what the server showed; nothing without TLS.
    std::optional<std::chrono::system_clock::time_point> certificate_end() {
        if (!tls_) return std::nullopt;
        return walgd::certificate_end(SSL_get0_peer_certificate(tls_->native_handle()));
    }

    awaitable<void> connect() {
        const auto addresses = co_await look_up();
        co_await connect_to_one(addresses);
        tcp_.socket().set_option(tcp::no_delay(true));
        // What the system holds and has not sent would look like a server that does not answer: let it hold little.
        const int unsent_max = slice_bytes;
        ::setsockopt(tcp_.socket().native_handle(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof unsent_max);
        if (!trust_) co_return;
        if (proxy_) {
            co_await open_tunnel();
        }
        tls_.emplace(tcp_, *trust_);
        co_await shake_hands();
    }

    awaitable<void> send(const HttpRequest& request) {
        const bool whole = proxy_ && !tls_; // no tunnel: the proxy has to be told whom it is for
        auto head = fmt::format("{} {}{} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n", request.method,
                                whole ? "http://" + server_.authority() : std::string(), request.target(), server_.authority(),
                                request.body.size());
        if (whole) head += authorization_line();
        for (const auto& [name, value] : request.headers) head += fmt::format("{}: {}\r\n", name, value);
        head += "\r\n";
        sent_ = false;
        co_await write(bytes_of(head));
        co_await write(request.body);
        sent_ = true;
    }

    /// The answer's head, into a parser of its own. `heard` is set when anything of it has come.
    awaitable<std::unique_ptr<Parser>> read_head(bool without_body, bool& heard) {
        tcp_.expires_after(options_.stall_timeout);
        for (;;) {
            auto parser = std::make_unique<Parser>();
            parser->body_limit(boost::none);
            parser->skip(without_body);
            error_code error;
            while (!error && !parser->is_header_done()) {
                error = co_await parse(*parser);
            }
            heard = heard || parser->got_some();
            if (error) give_up("no answer from", error);
            // 100 Continue and its like come before the answer, also where nobody asked for them.
            if (parser->get().result_int() / 100 == 1) continue;
            if (proxy_ && parser->get().result_int() == proxy_wants_user) refuse_way(proxy_wants_user);
            co_return parser;
        }
    }

    /// Bytes of a body whose length is known, put into `into`, as many as come at once, at least one: whatever comes renews the
    /// deadline. No parser between: it would copy each.
    awaitable<std::size_t> read_plain(MutableBytes into) {
        if (const auto early = buffer_.data(); early.size() > 0) { // came with the head
            const auto count = asio::buffer_copy(asio::buffer(into.data(), into.size()), early);
            buffer_.consume(count);
            co_return count;
        }
        tcp_.expires_after(options_.stall_timeout);
        const auto [error, count] = co_await receive(asio::buffer(into.data(), into.size()));
        if (error) give_up("the answer broke off from", error);
        co_return count;
    }

    /// The same of a body that comes in chunks or ends with the connection. 0 may be, and is certain when it is complete.
    awaitable<std::size_t> read_parsed(Parser& parser, MutableBytes into) {
        auto& body = parser.get().body();
        body.data = into.data();
        body.size = into.size();
        buffer_.reserve(parsed_read_bytes);
        tcp_.expires_after(options_.stall_timeout);
        const auto error = co_await parse(parser);
        if (error && error != http::error::need_buffer) give_up("the answer broke off from", error);
        co_return into.size() - body.size;
    }

    /// Still there and silent: fit for one more request.
    bool fit() {
        if (!sent_ || rested_too_long() || buffer_.size() > 0) return false;
        char byte;
        const auto count = ::recv(tcp_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    }
    void rest() {
        idle_since_ = std::chrono::steady_clock::now();
        idle_since_by_wall_ = std::chrono::system_clock::now();
    }

private:
    /// The system's look-up cannot be cancelled: whoever waits for it no longer leaves it to end by itself.
    struct LookUp {
        LookUp(asio::any_io_executor io, std::chrono::milliseconds limit) : over(io, limit) {}
        asio::steady_timer over;
        bool done = false;
        error_code error;
        tcp::resolver::results_type addresses;
    };

    awaitable<tcp::resolver::results_type> look_up() {
        tcp::resolver resolver(io_); // its end takes back a look-up that has not begun
        const auto found = std::make_shared<LookUp>(io_, options_.connect_timeout);
        // Names below localhost are this machine's (RFC 6761), also where the system's resolver does not know that.
        const auto& next = proxy_ ? proxy_->server : server_;
        const auto name = next.host.ends_with(".localhost") ? std::string("localhost") : next.host;
        resolver.async_resolve(name, std::to_string(next.port), [found](const error_code& error, auto addresses) {
            found->done = true;
            found->error = error;
            found->addresses = std::move(addresses);
            found->over.cancel();
        });
        const auto [cancelled] = co_await found->over.async_wait(asio::as_tuple(asio::use_awaitable));
        if (!found->done) give_up("cannot look up", cancelled ? cancelled : beast::error::timeout);
        if (found->error)
            throw Error(ErrorKind::transient, fmt::format("cannot look up host {}: {}", next.host, found->error.message()),
                        proxy_ ? "is the name in HTTPS_PROXY or HTTP_PROXY right, and does DNS answer here?"
                               : "is the endpoint's name right, and does DNS answer here?");
        co_return found->addresses;
    }

    /// One after the other: one that is silent leaves time for those behind it.
    awaitable<void> connect_to_one(tcp::resolver::results_type addresses) {
        const auto until = std::chrono::steady_clock::now() + options_.connect_timeout;
        auto left = static_cast<int>(addresses.size());
        error_code failure;
        for (const auto& address : addresses) {
            tcp_.close(); // of the address before, which may be of another family
            tcp_.expires_after((until - std::chrono::steady_clock::now()) / left--);
            const auto [error] = co_await tcp_.async_connect(address.endpoint(), asio::as_tuple(asio::use_awaitable));
            if (!error) co_return;
            failure = error;
            if (error == asio::error::operation_aborted) break;
        }
        give_up("cannot connect to", failure);
    }

    /// The steady clock stands still while the machine is suspended: then it is the wall clock that jumps.
    bool rested_too_long() const {
        return std::chrono::steady_clock::now() - idle_since_ > idle_max ||
               std::chrono::system_clock::now() - idle_since_by_wall_ > idle_max;
    }
    /// No answer, as an Error: what can be tried again.
    [[noreturn]] void give_up(std::string_view doing, const error_code& error) {
        if (error == asio::error::operation_aborted) throw Error(ErrorKind::cancelled, "cancelled");
        stalled_ = error == beast::error::timeout;
        const auto cause = stalled_ ? std::string("nothing moved for too long")
                           : error == http::error::end_of_stream || error == asio::error::eof
                               ? std::string("the server closed the connection")
                               : error.message();
        throw Error(ErrorKind::transient, fmt::format("{} {}{}: {}", doing, server_.authority(), way(), cause));
    }

    std::string way() const { return proxy_ ? fmt::format(" by the proxy {}", proxy_->server.authority()) : std::string(); }
    std::string authorization_line() const {
        return proxy_->authorization.empty() ? std::string() : fmt::format("proxy-authorization: {}\r\n", proxy_->authorization);
    }

    [[noreturn]] void refuse_way(unsigned status) const {
        throw Error(status / 100 == 4 ? ErrorKind::denied : ErrorKind::transient,
                    fmt::format("the proxy {} makes no connection to {}:{}: HTTP {}", proxy_->server.authority(), server_.host,
                                server_.port, status),
                    status == proxy_wants_user ? "give its user: http://user:password@host:port in HTTPS_PROXY or HTTP_PROXY"
                                               : "may it connect there? NO_PROXY names the servers that are reached without it");
    }

    /// What follows goes to the server, and to the proxy it is noise.
    awaitable<void> open_tunnel() {
        const auto target = fmt::format(
            "{}:{}", server_.host.find(':') == std::string::npos ? server_.host : "[" + server_.host + "]", server_.port);
        const auto head = fmt::format("CONNECT {0} HTTP/1.1\r\nhost: {0}\r\n{1}\r\n", target, authorization_line());
        co_await write(bytes_of(head));
        tcp_.expires_after(options_.connect_timeout);
        Parser parser;
        parser.skip(true);
        error_code error;
        while (!error && !parser.is_header_done()) {
            error = co_await parse(parser);
        }
        if (error) give_up("no way to", error);
        const auto status = parser.get().result_int();
        if (status / 100 == 2) co_return;
        refuse_way(status);
    }

    /// One step of a parser, with what is there or what comes: its head, or some of its body.
    awaitable<error_code> parse(Parser& parser) {
        error_code error;
        for (;;) {
            if (buffer_.size() > 0) {
                buffer_.consume(parser.put(buffer_.data(), error));
                if (error != http::error::need_more) co_return error;
            }
            const auto room = std::max(buffer_.capacity() - buffer_.size(), head_more_bytes);
            std::size_t count = 0;
            std::tie(error, count) = co_await receive(buffer_.prepare(room));
            if (error == asio::error::eof && parser.got_some()) {
                error = {};
                parser.put_eof(error); // the end, for a body that has no other
                co_return error;
            }
            if (error) co_return error;
            buffer_.commit(count);
        }
    }

    /// As many bytes as come at once.
    awaitable<std::pair<error_code, std::size_t>> receive(asio::mutable_buffer into) {
        error_code error;
        std::size_t count = 0;
        if (tls_)
            std::tie(error, count) = co_await tls_->async_read_some(into, asio::as_tuple(asio::use_awaitable));
        else
            std::tie(error, count) = co_await tcp_.async_read_some(into, asio::as_tuple(asio::use_awaitable));
        co_return std::pair(error, count);
    }

    /// Whatever goes out renews the deadline: a trickle is slow, not stalled.
    awaitable<void> write(ByteView bytes) {
        while (!bytes.empty()) {
            tcp_.expires_after(options_.stall_timeout);
            const auto slice = bytes.first(std::min(bytes.size(), slice_bytes));
            const auto buffer = asio::buffer(slice.data(), slice.size());
            error_code error;
            std::size_t count = 0;
            if (tls_)
                std::tie(error, count) = co_await tls_->async_write_some(buffer, asio::as_tuple(asio::use_awaitable));
            else
                std::tie(error, count) = co_await tcp_.async_write_some(buffer, asio::as_tuple(asio::use_awaitable));
            if (error) give_up("the request broke off to", error);
            bytes = bytes.subspan(count);
        }
    }

    awaitable<void> shake_hands() {
        error_code not_an_address;
        asio::ip::make_address(server_.host, not_an_address);
        if (not_an_address) SSL_set_tlsext_host_name(tls_->native_handle(), server_.host.c_str());
        tls_->set_verify_mode(ssl::verify_peer);
        tls_->set_verify_callback(ssl::host_name_verification(server_.host));
        tcp_.expires_after(options_.connect_timeout);
        const auto [error] = co_await tls_->async_handshake(ssl::stream_base::client, asio::as_tuple(asio::use_awaitable));
        if (!error) co_return;
        const auto verdict = SSL_get_verify_result(tls_->native_handle());
        if (error.category() == asio::error::get_ssl_category() &&
            ERR_GET_REASON(static_cast<unsigned long>(error.value())) == SSL_R_WRONG_VERSION_NUMBER)
            throw Error(ErrorKind::misconfigured, fmt::format("{} does not speak TLS", server_.authority()),
                        "an endpoint without a scheme means https: write http:// in front of it where that is meant");
        if (verdict == X509_V_OK) give_up("no TLS with", error);
        throw Error(ErrorKind::misconfigured,
                    fmt::format("the TLS certificate of {} does not hold: {}", server_.authority(),
                                verdict == X509_V_ERR_UNSPECIFIED ? "it is for another name" // so says host_name_verification
                                                                  : X509_verify_cert_error_string(verdict)),
                    "is the clock right, and is the issuer known here? WALG_S3_CA_CERT_FILE names a further one");
    }

    HttpServer server_;
    std::optional<Proxy> proxy_;
    const TransportOptions& options_;
    ssl::context* trust_; ///< none for a server that is spoken to in clear
    beast::tcp_stream tcp_;
    std::optional<beast::ssl_stream<beast::tcp_stream&>> tls_; ///< from the handshake on
    asio::any_io_executor io_;
    beast::flat_buffer buffer_;
    bool sent_ = true, stalled_ = false;
    std::chrono::steady_clock::time_point idle_since_{};
    std::chrono::system_clock::time_point idle_since_by_wall_{};
};

class BeastTransport;

class BeastAnswer : public HttpAnswer {
public:
    BeastAnswer(std::shared_ptr<BeastTransport> transport, std::unique_ptr<Connection> connection, std::unique_ptr<Parser> parser,
                Slots::Slot slot, bool resent)
        : transport_(std::move(transport)), slot_(std::move(slot)), connection_(std::move(connection)),
          parser_(std::move(parser)) {
        const auto& message = parser_->get();
        head_.status = static_cast<int>(message.result_int());
        for (const auto& field : message) head_.headers[lower_case(field.name_string())] = std::string(field.value());
        if (const auto length = parser_->content_length()) {
            head_.content_length = *length;
            plain_left_ = parser_->is_done() ? 0 : *length; // done: the answer to HEAD
        }
        head_.resent = resent;
    }
    ~BeastAnswer() override;

    const HttpHead& head() const override { return head_; }

    awaitable<std::size_t> read(MutableBytes into) override {
        std::size_t done = 0;
        while (done < into.size() && !whole()) {
            const auto rest = into.subspan(done);
            std::size_t count = 0;
            if (plain_left_) {
                count = co_await connection_->read_plain(rest.first(std::min<std::uint64_t>(rest.size(), *plain_left_)));
                *plain_left_ -= count;
            } else {
                count = co_await connection_->read_parsed(*parser_, rest);
            }
            done += count;
        }
        co_return done;
    }

private:
    bool whole() const { return plain_left_ ? *plain_left_ == 0 : parser_->is_done(); }

    std::shared_ptr<BeastTransport> transport_;
    Slots::Slot slot_;
    std::unique_ptr<Connection> connection_;
    std::unique_ptr<Parser> parser_;
    std::optional<std::uint64_t> plain_left_; ///< of a body whose length is known
    HttpHead head_;
};

class BeastTransport : public Transport, public std::enable_shared_from_this<BeastTransport> {
public:
    BeastTransport(TransportOptions options, asio::any_io_executor io)
        : options_(std::move(options)), io_(io), slots_(io, options_.connections_max) {
        if (!options_.ca_file.empty()) trust(); // a wrong one shows at once
    }

    awaitable<std::unique_ptr<HttpAnswer>> open(HttpServer server, HttpRequest request) override {
        auto self = shared_from_this();
        auto slot = co_await slots_.take();
        for (bool resent = false;; resent = true) {
            auto connection = idle_connection(server);
            const bool reused = connection != nullptr;
            if (!reused) {
                connection = std::make_unique<Connection>(server, io_, server.tls ? &trust() : nullptr, options_);
                co_await connection->connect();
                if (const auto end = connection->certificate_end()) certificates_[server.authority()] = *end;
            }
            bool heard = false;
            std::unique_ptr<Parser> parser;
            std::optional<Error> failure;
            try {
                co_await connection->send(request);
            } catch (const Error& error) {
                failure = error;
            }
            // A server that wants no more of a request says why before it closes: that it takes other credentials, or is another
            // region's. That it has done what it did not hear to the end is not believed.
            if (!failure || (failure->kind() == ErrorKind::transient && !connection->stalled())) {
                try {
                    parser = co_await connection->read_head(request.method == "HEAD", heard);
                    if (connection->sent() || parser->get().result_int() >= 300) failure.reset();
                } catch (const Error& error) {
                    if (!failure || error.kind() == ErrorKind::cancelled) failure = error;
                }
            }
            if (!failure) {
                std::unique_ptr<HttpAnswer> answer =
                    std::make_unique<BeastAnswer>(self, std::move(connection), std::move(parser), std::move(slot), resent);
                co_return answer;
            }
            // The server closed a resting connection just as we spoke: not a failure, if nothing of an answer came.
            const bool closed = failure->kind() == ErrorKind::transient && !connection->stalled() && !heard;
            if (!reused || !closed) throw *failure;
        }
    }

    std::map<std::string, std::chrono::system_clock::time_point> certificates() const override { return certificates_; }

    void give_back(std::unique_ptr<Connection> connection, bool keep) {
        if (!keep) return;
        connection->rest();
        idle_.push_back(std::move(connection));
    }

private:
    /// Whom to believe. Made when it is needed: the system's certificates alone are megabytes.
    ssl::context& trust() {
        if (trust_) return *trust_;
        ssl::context context(ssl::context::tls_client);
        context.set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 | ssl::context::no_sslv3 |
                            ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
        error_code error;
        context.set_default_verify_paths(error);
        if (!options_.ca_file.empty()) context.load_verify_file(options_.ca_file, error);
        if (error && !options_.ca_file.empty())
            throw Error(ErrorKind::misconfigured,
                        fmt::format("cannot read certificates from {}: {}", options_.ca_file, error.message()),
                        "it is a PEM file, named by WALG_S3_CA_CERT_FILE or AWS_CA_BUNDLE");
        return trust_.emplace(std::move(context));
    }

    std::unique_ptr<Connection> idle_connection(const HttpServer& server) {
        std::erase_if(idle_, [](const auto& connection) { return !connection->fit(); });
        for (auto found = idle_.rbegin(); found != idle_.rend(); ++found) {
            if ((*found)->server() != server) continue;
            auto connection = std::move(*found);
            idle_.erase(std::next(found).base());
            return connection;
        }
        return nullptr;
    }

    TransportOptions options_;
    asio::any_io_executor io_;
    std::optional<ssl::context> trust_;
    std::vector<std::unique_ptr<Connection>> idle_;
    std::map<std::string, std::chrono::system_clock::time_point> certificates_;
    Slots slots_;
};

BeastAnswer::~BeastAnswer() { transport_->give_back(std::move(connection_), whole() && parser_->keep_alive()); }

/// The answers hold the transport, so the storage holds it by a shared_ptr behind this.
class TransportHolder : public Transport {
public:
    explicit TransportHolder(std::shared_ptr<BeastTransport> transport) : transport_(std::move(transport)) {}
    awaitable<std::unique_ptr<HttpAnswer>> open(HttpServer server, HttpRequest request) override {
        return transport_->open(std::move(server), std::move(request));
    }
    std::map<std::string, std::chrono::system_clock::time_point> certificates() const override {
        return transport_->certificates();
    }

private:
    std::shared_ptr<BeastTransport> transport_;
};

} // namespace

std::unique_ptr<Transport> make_transport(TransportOptions options, asio::any_io_executor io) {
    return std::make_unique<TransportHolder>(std::make_shared<BeastTransport>(std::move(options), io));
}

} // namespace walgd::storage
