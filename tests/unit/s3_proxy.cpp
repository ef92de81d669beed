#include "common/base/error.hpp"
#include "common/storage/s3/proxy.hpp"

#include <catch2/catch.hpp>

using namespace walgd;
using namespace walgd::storage;

namespace {

/// "host:port" of the proxy, or "direct".
std::string way_to(const std::string& endpoint, const ProxyWords& words) {
    const auto proxy = ProxyRules(words).proxy_of(parse_endpoint(endpoint, "AWS_ENDPOINT"));
    return proxy ? proxy->server.authority() : "direct";
}

} // namespace

TEST_CASE("Each scheme has a proxy of its own, and none is needed", "[s3]") {
    const ProxyWords both{"http://secure:3128", "plain:8080", ""};
    CHECK(way_to("https://s3.example.com", both) == "secure:3128");
    CHECK(way_to("http://s3.example.com:9000", both) == "plain:8080");
    CHECK(way_to("https://s3.example.com", {"", "plain:8080", ""}) == "direct");
    CHECK(way_to("http://s3.example.com", {"http://secure", "", ""}) == "direct");
    CHECK(way_to("https://s3.example.com", {"http://proxy/", "", ""}) == "proxy");
}

TEST_CASE("This machine and link-local addresses are reached without a proxy", "[s3]") {
    const ProxyWords both{"http://proxy:1", "http://proxy:1", ""};
    for (const auto* endpoint : {"http://localhost:9000", "http://bucket.localhost", "http://127.0.0.1", "http://127.3.2.1:80",
                                 "http://[::1]:9000", "http://169.254.169.254", "http://[fe80::1]", "https://LOCALHOST"})
        CHECK(way_to(endpoint, both) == "direct");
    CHECK(way_to("http://10.0.0.1", both) == "proxy:1");
    CHECK(way_to("http://[2001:db8::1]", both) == "proxy:1");
}

TEST_CASE("NO_PROXY names hosts, domains, addresses, networks and ports", "[s3]") {
    const auto direct = [](const std::string& none, const std::string& endpoint) {
        return way_to(endpoint, {"http://proxy:1", "http://proxy:1", none}) == "direct";
    };
    CHECK(direct("*", "https://s3.example.com"));
    CHECK(direct("example.com", "https://example.com"));
    CHECK(direct("other.net, Example.com ,", "https://s3.EXAMPLE.com"));
    CHECK_FALSE(direct("example.com", "https://anexample.com"));
    CHECK(direct(".example.com", "https://s3.example.com"));
    CHECK(direct("*.example.com", "https://s3.example.com"));
    CHECK_FALSE(direct(".example.com", "https://example.com"));
    CHECK(direct("minio:9000", "http://minio:9000"));
    CHECK_FALSE(direct("minio:9000", "http://minio:9001"));
    CHECK(direct("10.1.2.3", "http://10.1.2.3:9000"));
    CHECK(direct("10.1.2.3:9000", "http://10.1.2.3:9000"));
    CHECK_FALSE(direct("10.1.2.3:9000", "http://10.1.2.3:9001"));
    CHECK(direct("10.0.0.0/8", "http://10.1.2.3"));
    CHECK_FALSE(direct("10.0.0.0/8", "http://11.1.2.3"));
    CHECK_FALSE(direct("10.0.0.0/8", "http://[2001:db8::1]"));
    CHECK(direct("2001:db8::/32", "http://[2001:db8::1]"));
    CHECK(direct("2001:db8::1", "http://[2001:db8::1]:9000"));
    CHECK(direct("[2001:db8::1]:9000", "http://[2001:db8::1]:9000"));
    CHECK_FALSE(direct("[2001:db8::1]:9000", "http://[2001:db8::1]:9001"));
    for (const auto* odd : {"", ",,", "/", "10.0.0.0/99", ":", "[", "a:b:c", "%", "."})
        CHECK_FALSE(direct(odd, "http://10.1.2.3"));
}

TEST_CASE("A proxy's user is sent as it is meant, and no error shows it", "[s3]") {
    const ProxyRules rules({"http://me:p%40ss%3A@proxy:3128", "", ""});
    const auto proxy = rules.proxy_of(parse_endpoint("https://s3.example.com", "AWS_ENDPOINT"));
    REQUIRE(proxy);
    CHECK(proxy->server.authority() == "proxy:3128");
    CHECK(proxy->authorization == "Basic bWU6cEBzczo="); // me:p@ss:
    for (const auto* wrong : {"https://me:s3cret@proxy", "socks5://me:s3cret@proxy:1080", "http://me:s3cret@proxy:99999",
                              "http://me:s3cret@", "http://me:s3cret", "http://me:s3cret/x@proxy"}) {
        try {
            ProxyRules{{wrong, "", ""}};
            FAIL("taken: " << wrong);
        } catch (const Error& error) {
            CHECK(error.kind() == ErrorKind::misconfigured);
            CHECK(std::string(error.what()).find("HTTPS_PROXY") != std::string::npos);
            CHECK((std::string(error.what()) + error.hint()).find("s3cret") == std::string::npos);
        }
    }
}
