#include "common/base/handles.hpp"
#include "common/storage/s3/http.hpp"
#include "common/storage/s3/s3_storage.hpp"
#include "tests/unit/async_support.hpp"

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <dlfcn.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

namespace {

/// While it is true, names that begin with "silent." are looked up without end.
std::atomic<bool> dns_is_silent = false;

} // namespace

/// Stands before the system's.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints, addrinfo** found) {
    if (name != nullptr && std::string_view(name).starts_with("silent.")) {
        dns_is_silent.wait(true);
        return EAI_AGAIN;
    }
    using LookUp = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
    static const auto system = reinterpret_cast<LookUp>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    if (name == nullptr || std::string_view(name) != "two.example") return system(name, service, hints, found);
    const int failed = system("127.0.0.2", service, hints, found);
    return failed != 0 ? failed : system("127.0.0.1", service, hints, &(*found)->ai_next);
}

namespace walgd::storage {

using asio::ip::tcp;

namespace {

/// A server for one connection, which says what it is told to as soon as it has a request's head.
class Peer {
public:
    explicit Peer(test::Loop& loop) : acceptor_(loop.executor(), tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {}

    HttpServer server() const { return {.tls = false, .host = "127.0.0.1", .port = acceptor_.local_endpoint().port()}; }
    awaitable<void> serve(std::string answer) {
        auto socket = co_await acceptor_.async_accept(asio::use_awaitable);
        std::string head;
        co_await asio::async_read_until(socket, asio::dynamic_buffer(head), "\r\n\r\n", asio::use_awaitable);
        co_await asio::async_write(socket, asio::buffer(answer), asio::use_awaitable);
    }

private:
    tcp::acceptor acceptor_;
};

struct Said {
    int status = 0;
    std::string body;
};

/// Puts so many bytes to a peer that answers so.
Said put(std::string answer, std::size_t bytes) {
    test::Loop loop;
    Peer peer(loop);
    const auto transport = make_transport({}, loop.executor());
    Said said;
    auto client = [&]() -> awaitable<void> {
        const std::string body(bytes, 'x');
        HttpRequest request;
        request.method = "PUT";
        request.body = bytes_of(body);
        const auto heard = co_await transport->open(peer.server(), request);
        said.status = heard->head().status;
        said.body = co_await read_text(*heard, 1000);
    };
    asio::co_spawn(loop.io(), peer.serve(std::move(answer)), [](std::exception_ptr) {});
    loop.run(client());
    return said;
}

constexpr std::size_t more_than_sockets_hold = 64 << 20;

} // namespace

TEST_CASE("what a server says before its answer is passed over", "[s3]") {
    const auto said = put("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
                          "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere",
                          10);
    CHECK(said.status == 200);
    CHECK(said.body == "here");
}

TEST_CASE("a server that refuses before it has the whole request is heard", "[s3]") {
    const auto said = put("HTTP/1.1 403 Forbidden\r\ncontent-length: 12\r\n\r\nExpiredToken", more_than_sockets_hold);
    CHECK(said.status == 403);
    CHECK(said.body == "ExpiredToken");
}

TEST_CASE("a server that agrees before it has the whole request is not believed", "[s3]") {
    const auto kind = test::kind_of([] { put("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", more_than_sockets_hold); });
    CHECK(kind == ErrorKind::transient);
}

TEST_CASE("an answer that comes piece by piece, its length not announced, is read whole", "[s3]") {
    test::Loop loop;
    Peer peer(loop);
    const auto log = silent_log();
    S3Options options;
    options.bucket = "b";
    options.region = "us-east-1";
    options.access_key = options.secret_key = "k";
    options.endpoint = fmt::format("http://127.0.0.1:{}", peer.server().port);
    const auto storage = make_s3_storage(options, loop.executor(), *log);
    const std::string piece(1000, 'x');
    std::string answer = "HTTP/1.1 200 OK\r\netag: \"e\"\r\ntransfer-encoding: chunked\r\n\r\n";
    for (int count = 0; count < 100; ++count) answer += "3e8\r\n" + piece + "\r\n";
    for (const bool whole : {true, false}) {
        asio::co_spawn(loop.io(), peer.serve(answer + (whole ? "0\r\n\r\n" : "")), [](std::exception_ptr) {});
        const auto read = [&] { return loop.run(get_whole(*storage, ObjectKey("object"), 1 << 20)); };
        if (whole)
            CHECK(read()->size() == 100 * piece.size());
        else
            CHECK(test::kind_of(read) == ErrorKind::transient);
    }
    asio::co_spawn(loop.io(), peer.serve(answer + "0\r\n\r\n"), [](std::exception_ptr) {});
    CHECK(test::kind_of([&] { loop.run(get_whole(*storage, ObjectKey("object"), 5000)); }) == ErrorKind::corrupt);
}

TEST_CASE("an answer whose length is announced is read to its last byte, and its connection serves the next", "[s3]") {
    test::Loop loop;
    tcp::acceptor acceptor(loop.executor(), tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    const auto transport = make_transport({}, loop.executor());
    std::string sent(3 << 20, ' ');
    for (std::size_t at = 0; at < sent.size(); ++at) sent[at] = static_cast<char>('a' + at % 23);
    const std::vector<std::size_t> lengths{sent.size(), 0, sent.size()};
    const auto serve = [&](std::size_t kept_back) -> awaitable<void> { // of the last answer
        auto socket = co_await acceptor.async_accept(asio::use_awaitable);
        for (std::size_t number = 1; number <= lengths.size(); ++number) {
            std::string head;
            co_await asio::async_read_until(socket, asio::dynamic_buffer(head), "\r\n\r\n", asio::use_awaitable);
            auto text = fmt::format("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", lengths[number - 1]);
            text += sent.substr(0, lengths[number - 1] - (number == lengths.size() ? kept_back : 0));
            co_await asio::async_write(socket, asio::buffer(text), asio::use_awaitable);
        }
    };
    const auto bodies = [&]() -> awaitable<std::vector<std::string>> {
        std::vector<std::string> got;
        for (std::size_t number = 0; number < lengths.size(); ++number) {
            HttpRequest request;
            request.method = "GET";
            const auto port = acceptor.local_endpoint().port();
            const auto heard = co_await transport->open({.tls = false, .host = "127.0.0.1", .port = port}, request);
            got.push_back(co_await read_text(*heard, sent.size()));
        }
        co_return got;
    };
    asio::co_spawn(loop.io(), serve(0), [](std::exception_ptr) {});
    CHECK(loop.run(bodies()) == std::vector<std::string>{sent, "", sent});
    asio::co_spawn(loop.io(), serve(1), [](std::exception_ptr) {});
    CHECK(test::kind_of([&] { loop.run(bodies()); }) == ErrorKind::transient);
}

TEST_CASE("a server is reached although the first of its addresses is silent", "[s3]") {
    test::Loop loop;
    Peer peer(loop);
    // Nobody takes connections there, and the few that may wait do: the system answers no further one.
    tcp::acceptor silent(loop.executor(), tcp::v4());
    silent.set_option(tcp::acceptor::reuse_address(true));
    silent.bind({asio::ip::make_address("127.0.0.2"), peer.server().port});
    silent.listen(0);
    std::vector<UniqueFd> waiting;
    auto address = silent.local_endpoint();
    for (int count = 0; count < 4; ++count) {
        waiting.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        ::connect(waiting.back().get(), address.data(), static_cast<socklen_t>(address.size()));
    }
    TransportOptions hasty;
    hasty.connect_timeout = std::chrono::milliseconds(400);
    const auto transport = make_transport(hasty, loop.executor());
    int status = 0;
    auto client = [&]() -> awaitable<void> {
        const HttpServer server{.tls = false, .host = "two.example", .port = peer.server().port};
        const auto answer = co_await transport->open(server, {});
        status = answer->head().status;
    };
    asio::co_spawn(loop.io(), peer.serve("HTTP/1.1 204 No Content\r\n\r\n"), [](std::exception_ptr) {});
    loop.run(client());
    CHECK(status == 204);
}

TEST_CASE("a look-up that does not end ends with its deadline, and with the request", "[s3]") {
    test::Loop loop;
    dns_is_silent = true;
    bool late = false, cancelled = false;
    TransportOptions hasty;
    hasty.connect_timeout = std::chrono::milliseconds(20);
    auto client = [&]() -> awaitable<void> {
        const auto transport = make_transport(hasty, loop.executor());
        const auto patient = make_transport({}, loop.executor());
        const HttpServer server{.tls = false, .host = "silent.example", .port = 80};
        try {
            co_await transport->open(server, {});
        } catch (const Error& error) {
            late = error.kind() == ErrorKind::transient;
        }
        auto asking = [&]() -> awaitable<void> { co_await patient->open(server, {}); };
        try {
            co_await within(std::chrono::milliseconds(20), asking(), "late");
        } catch (const Error& error) {
            cancelled = std::string(error.what()) == "late";
        }
        dns_is_silent = false;
        dns_is_silent.notify_all();
    };
    loop.run(client());
    CHECK(late);
    CHECK(cancelled);
}

} // namespace walgd::storage
