// Amazon's published examples: docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
#include "common/storage/s3/signature.hpp"

#include <catch2/catch.hpp>

namespace walgd::storage {

namespace {

const Credentials example{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "", std::nullopt, "example"};
const std::chrono::system_clock::time_point may_24{std::chrono::seconds(1369353600)};

std::string signature_of(HttpRequest request, const Credentials& credentials = example) {
    const auto payload = sha256_hex(request.body);
    sign(request, "examplebucket.s3.amazonaws.com", credentials, "us-east-1", "s3", may_24, payload);
    for (const auto& [name, value] : request.headers) {
        if (name == "authorization") return value.substr(value.find("Signature=") + 10);
    }
    return {};
}

HttpRequest get(std::string path, HttpFields query = {}, HttpFields headers = {}) {
    HttpRequest request;
    request.method = "GET";
    request.path = std::move(path);
    request.query = std::move(query);
    request.headers = std::move(headers);
    return request;
}

} // namespace

TEST_CASE("a get of a range is signed as in Amazon's example", "[s3]") {
    CHECK(signature_of(get("/test.txt", {}, {{"range", "bytes=0-9"}})) ==
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST_CASE("a put is signed as in Amazon's example", "[s3]") {
    HttpRequest request;
    request.method = "PUT";
    request.path = "/" + uri_encoded("test$file.text", true);
    request.headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    request.body = bytes_of("Welcome to Amazon S3.");
    CHECK(signature_of(std::move(request)) == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST_CASE("queries are signed as in Amazon's examples", "[s3]") {
    CHECK(signature_of(get("/", {{"lifecycle", ""}})) == "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    const auto wanted = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
    CHECK(signature_of(get("/", {{"max-keys", "2"}, {"prefix", "J"}})) == wanted);
    CHECK(signature_of(get("/", {{"prefix", "J"}, {"max-keys", "2"}})) == wanted);
}

TEST_CASE("every part of a request is signed", "[s3]") {
    const auto plain = signature_of(get("/a", {{"q", "1"}}, {{"x-amz-acl", "private"}}));
    CHECK(plain != signature_of(get("/b", {{"q", "1"}}, {{"x-amz-acl", "private"}})));
    CHECK(plain != signature_of(get("/a", {{"q", "2"}}, {{"x-amz-acl", "private"}})));
    CHECK(plain != signature_of(get("/a", {{"q", "1"}}, {{"x-amz-acl", "public"}})));
    auto with_token = example;
    with_token.session_token = "token";
    CHECK(plain != signature_of(get("/a", {{"q", "1"}}, {{"x-amz-acl", "private"}}), with_token));
}

TEST_CASE("names are encoded byte by byte", "[s3]") {
    CHECK(uri_encoded("a b/ü+~_-.", true) == "a%20b/%C3%BC%2B~_-.");
    CHECK(uri_encoded("a/b", false) == "a%2Fb");
    CHECK(amz_date(may_24) == "20130524T000000Z");
}

TEST_CASE("endpoints are http or https, host and port", "[s3]") {
    CHECK(parse_endpoint("http://127.0.0.1:9000", "AWS_ENDPOINT") == HttpServer{false, "127.0.0.1", 9000});
    CHECK(parse_endpoint("https://s3.example.com", "AWS_ENDPOINT") == HttpServer{true, "s3.example.com", 443});
    CHECK(parse_endpoint("s3.example.com:8443", "AWS_ENDPOINT") == HttpServer{true, "s3.example.com", 8443});
    CHECK(HttpServer{false, "h", 80}.authority() == "h");
    CHECK(HttpServer{true, "h", 9000}.authority() == "h:9000");
    CHECK_THROWS_WITH(parse_endpoint("ftp://x", "AWS_ENDPOINT"), Catch::Contains("AWS_ENDPOINT"));
    CHECK_THROWS_WITH(parse_endpoint("http://x:port", "AWS_ENDPOINT"), Catch::Contains("AWS_ENDPOINT"));
    CHECK_THROWS_WITH(parse_endpoint("http://[::1]9000", "AWS_ENDPOINT"), Catch::Contains("colon"));
    CHECK_THROWS_WITH(parse_endpoint("http://[::1]19000", "AWS_ENDPOINT"), Catch::Contains("colon"));
    CHECK_THROWS_WITH(parse_endpoint("https://key:geheim@s3.example.com", "AWS_ENDPOINT"),
                      Catch::Contains("AWS_ENDPOINT") && !Catch::Contains("geheim"));
}

} // namespace walgd::storage
