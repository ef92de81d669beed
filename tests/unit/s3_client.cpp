#include "common/storage/s3/client.hpp"

#include "tests/unit/fake_transport.hpp"
#include "tests/unit/has.hpp"

namespace walgd::storage {

using Catch::Contains;
using test::FakeAnswer;
using test::FakeTransport;
using test::kind_of;

namespace {

/// A client of bucket "walgd", and what it asked for.
struct Bucket {
    test::Loop loop;
    std::shared_ptr<Log> log = silent_log();
    S3Options options;
    FakeTransport* transport = nullptr;
    std::optional<S3Client> client;

    Bucket() {
        options.bucket = "walgd";
        options.access_key = "A";
        options.secret_key = "S";
    }
    Bucket& answers(FakeTransport::Answers answers) {
        auto made = std::make_unique<FakeTransport>(std::move(answers));
        transport = made.get();
        client.emplace(options, std::move(made), *log);
        return *this;
    }
    /// A storage over it, instead of the client.
    std::unique_ptr<Storage> storage(FakeTransport::Answers answers) {
        options.region = "us-east-1";
        auto made = std::make_unique<FakeTransport>(std::move(answers));
        transport = made.get();
        return make_s3_storage(options, std::move(made), *log);
    }
    S3Answer get() {
        S3Request request;
        request.method = "GET";
        request.key = "object";
        request.what = "cannot get object";
        return loop.run(client->call(std::move(request), 1000));
    }
    std::optional<HttpHead> head() { return loop.run(client->head("object")); }
    const std::vector<std::string>& asked() const { return transport->asked; }
};

std::string moved_text(const std::string& code, const std::string& region) {
    return fmt::format("<Error><Code>{}</Code><Message>m</Message><Region>{}</Region></Error>", code, region);
}

} // namespace

TEST_CASE("the bucket stands in the host name, or in the path where it cannot", "[s3]") {
    struct Case {
        std::string endpoint, bucket;
        bool forced;
        std::string url;
    };
    for (const auto& [endpoint, bucket, forced, url] :
         {Case{"", "walgd", false, "GET walgd.s3.eu-west-1.amazonaws.com/object "},
          Case{"", "walgd", true, "GET s3.eu-west-1.amazonaws.com/walgd/object "},
          Case{"", "with.dots", false, "GET s3.eu-west-1.amazonaws.com/with.dots/object "},
          Case{"http://s3.example:9000", "with.dots", false, "GET with.dots.s3.example:9000/object "},
          Case{"https://s3.example", "Upper_Case", false, "GET s3.example/Upper_Case/object "},
          Case{"http://127.0.0.1:9000", "walgd", false, "GET 127.0.0.1:9000/walgd/object "},
          Case{"http://[::1]:9000", "walgd", false, "GET [::1]:9000/walgd/object "},
          Case{"https://s3.example/storage/v1/s3/", "walgd", true, "GET s3.example/storage/v1/s3/walgd/object "},
          Case{"https://s3.example/s3", "walgd", false, "GET walgd.s3.example/s3/object "}}) {
        Bucket one;
        one.options.endpoint = endpoint;
        one.options.bucket = bucket;
        one.options.force_path_style = forced;
        one.options.region = "eu-west-1";
        one.answers([](const std::string&) { return FakeAnswer{200, ""}; }).get();
        CHECK_THAT(one.asked().front(), Catch::StartsWith(url));
    }
}

TEST_CASE("an endpoint with a password is refused without showing it, whatever is in it", "[s3]") {
    Bucket bucket;
    bucket.options.endpoint = "https://key:geh/eim@s3.example/path";
    const auto said = test::text_of_error([&] { bucket.answers([](const std::string&) { return FakeAnswer{200, ""}; }); });
    CHECK_THAT(said, Contains("AWS_ENDPOINT") && !Contains("geh"));
}

TEST_CASE("Amazon's hosts of a region in China have China's domain", "[s3]") {
    Bucket bucket;
    bucket.options.region = "cn-north-1";
    bucket.answers([](const std::string&) { return FakeAnswer{200, ""}; }).get();
    CHECK_THAT(bucket.asked().front(), Catch::StartsWith("GET walgd.s3.cn-north-1.amazonaws.com.cn/object "));
    CHECK(amazon_domain("us-gov-west-1") == "amazonaws.com");
    CHECK(amazon_domain("eu-central-1") == "amazonaws.com");
    CHECK(amazon_domain("eusc-de-east-1") == "amazonaws.eu");
}

TEST_CASE("Amazon's hosts that IPv6 reaches have a name of their own, another server has none", "[s3]") {
    for (const auto& [endpoint, host] :
         {std::pair("", "walgd.s3.dualstack.eu-west-1.amazonaws.com"), std::pair("https://s3.example", "walgd.s3.example")}) {
        Bucket bucket;
        bucket.options.dual_stack = true;
        bucket.options.region = "eu-west-1";
        bucket.options.endpoint = endpoint;
        bucket.answers([](const std::string&) { return FakeAnswer{200, ""}; }).get();
        CHECK_THAT(bucket.asked().front(), Catch::StartsWith(std::string("GET ") + host + "/object "));
    }
}

TEST_CASE("a redirect to another region is followed once, and remembered", "[s3]") {
    for (const int status : {301, 307, 400}) {
        for (const bool by_header : {true, false}) {
            Bucket bucket;
            bucket.options.region = "us-east-1";
            bucket.answers([&](const std::string& what) -> FakeAnswer {
                if (has(what, "walgd.s3.eu-x-1.amazonaws.com") && has(what, "/eu-x-1/s3/aws4_request")) return {200, "here"};
                if (by_header) return {status, "", {{"x-amz-bucket-region", "eu-x-1"}}};
                return {status, moved_text("PermanentRedirect", "eu-x-1")};
            });
            CHECK(bucket.get().body == "here");
            CHECK(bucket.asked().size() == 2);
            CHECK(bucket.get().body == "here");
            CHECK(bucket.asked().size() == 3);
        }
    }
}

TEST_CASE("Amazon's hosts given as the endpoint change with the region, another server's host stays", "[s3]") {
    for (const auto& [endpoint, host] : {std::pair("https://s3.us-east-1.amazonaws.com", "walgd.s3.eu-x-1.amazonaws.com"),
                                         std::pair("https://s3.amazonaws.com", "walgd.s3.eu-x-1.amazonaws.com"),
                                         std::pair("https://s3.example", "walgd.s3.example")}) {
        Bucket bucket;
        bucket.options.endpoint = endpoint;
        bucket.options.region = "us-east-1";
        bucket.answers([](const std::string& what) -> FakeAnswer {
            if (has(what, "/eu-x-1/s3/aws4_request")) return {200, ""};
            return {301, moved_text("PermanentRedirect", "eu-x-1")};
        });
        bucket.get();
        CHECK_THAT(bucket.asked().back(), Contains(std::string(" ") + host + "/"));
    }
}

TEST_CASE("the answer to HEAD cannot name the region: the bucket is asked where it is", "[s3]") {
    Bucket bucket;
    bucket.options.endpoint = "https://s3.example";
    bucket.answers([](const std::string& what) -> FakeAnswer {
        if (has(what, "?location"))
            return {200, "<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">eu-x-1</LocationConstraint>"};
        if (!has(what, "/eu-x-1/s3/aws4_request")) return {400, ""};
        return {200, ""};
    });
    CHECK(bucket.head());
    CHECK(bucket.asked().size() == 3);
}

TEST_CASE("a server that sends round and round is an error that says what to set", "[s3]") {
    Bucket bucket;
    bucket.options.region = "us-east-1";
    int number = 0;
    bucket.answers([&](const std::string&) -> FakeAnswer {
        return {301, moved_text("PermanentRedirect", fmt::format("eu-x-{}", ++number))};
    });
    CHECK(kind_of([&] { bucket.get(); }) == ErrorKind::misconfigured);
    CHECK(bucket.asked().size() == 2);
}

TEST_CASE("a redirect that names no region says where it leads", "[s3]") {
    Bucket bucket;
    bucket.options.region = "us-east-1";
    bucket.answers([&](const std::string&) -> FakeAnswer {
        return {301, "<html>moved</html>", {{"location", "https://storage.example/bucket/object?x=y"}}};
    });
    const auto said = test::text_of_error([&] { bucket.get(); });
    CHECK_THAT(said, Catch::Contains("HTTP 301") && Catch::Contains("https://storage.example/bucket/object:") &&
                         Catch::Contains("AWS_ENDPOINT") && !Catch::Contains("AWS_REGION"));
}

TEST_CASE("Amazon is asked for the region of a bucket when none is given", "[s3]") {
    for (const auto& [location, region] :
         {std::pair("", "us-east-1"), std::pair("EU", "eu-west-1"), std::pair("eu-x-1", "eu-x-1")}) {
        Bucket bucket;
        bucket.answers([&](const std::string& what) -> FakeAnswer {
            if (!has(what, "?location")) return {200, ""};
            return {200, fmt::format("<LocationConstraint>{}</LocationConstraint>", location)};
        });
        bucket.get();
        CHECK(bucket.asked().size() == 2);
        CHECK_THAT(bucket.asked().back(), Contains(fmt::format("walgd.s3.{}.amazonaws.com/object", region)));
    }
    Bucket closed;
    closed.answers([](const std::string&) -> FakeAnswer { return {403, "<Error><Code>AccessDenied</Code></Error>"}; });
    CHECK(kind_of([&] { closed.get(); }) == ErrorKind::denied);
}

TEST_CASE("a server that gives the same page of a listing again and again is an error", "[s3]") {
    Bucket bucket;
    const auto storage = bucket.storage([](const std::string&) -> FakeAnswer {
        return {200, "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
                     "</ListBucketResult>"};
    });
    CHECK(kind_of([&] { bucket.loop.run(list_all(*storage, "wal_005/", false)); }) == ErrorKind::misconfigured);
    CHECK(bucket.asked().size() == 2);
}

TEST_CASE("a listing that begins after a name has none before it, also of a server that does not know how", "[s3]") {
    Bucket bucket;
    const auto storage = bucket.storage([](const std::string& what) -> FakeAnswer {
        const auto object = [](std::string_view name) {
            return fmt::format("<Contents><Key>wal_005/{}</Key><LastModified>2026-05-01T10:00:00Z</LastModified></Contents>",
                               name);
        };
        if (!has(what, "continuation-token"))
            return {200, fmt::format("<ListBucketResult>{}{}<IsTruncated>true</IsTruncated><NextContinuationToken>t"
                                     "</NextContinuationToken></ListBucketResult>",
                                     object("a"), object("b"))};
        return {200, fmt::format("<ListBucketResult>{}<CommonPrefixes><Prefix>wal_005/b/</Prefix></CommonPrefixes>"
                                 "<CommonPrefixes><Prefix>wal_005/d/</Prefix></CommonPrefixes></ListBucketResult>",
                                 object("d"))};
    });
    ListOptions options;
    options.after = "c";
    auto page = bucket.loop.run(storage->list("wal_005/", options));
    CHECK(page.objects.empty());
    options.token = page.next;
    page = bucket.loop.run(storage->list("wal_005/", options));
    REQUIRE(page.objects.size() == 1);
    CHECK(page.objects[0].key.path() == "wal_005/d");
    CHECK(page.folders == std::vector<std::string>{"wal_005/d/"});
}

TEST_CASE("a bucket whose settings we may not see, or that has none, is taken for one without versions", "[s3]") {
    Bucket bucket;
    FakeAnswer answer;
    const auto storage = bucket.storage([&](const std::string&) { return answer; });
    for (const int status : {400, 403, 404, 405, 501}) {
        answer = {status, "<Error><Code>AccessDenied</Code></Error>"};
        CHECK_FALSE(bucket.loop.run(storage->removed_objects()).versions_stay);
    }
    answer = {500, ""};
    CHECK(kind_of([&] { bucket.loop.run(storage->removed_objects()); }) == ErrorKind::transient);
}

TEST_CASE("a bucket that locks what is put into it gets the MD5 that it wants, from then on", "[s3]") {
    Bucket bucket;
    const auto storage = bucket.storage([](const std::string& what) -> FakeAnswer {
        if (has(what, "?uploads"))
            return {200, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"};
        if (has(what, "content-md5=kAFQmDzST7DWlj99KOF/cg==")) return {200, "", {{"etag", "\"e\""}}}; // of "abc"
        return {400, "<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is required for Put "
                     "Object requests with Object Lock parameters</Message></Error>"};
    });
    const auto put = [&](const std::string& text) {
        return bucket.loop.run(storage->put(ObjectKey("k"), bytes_of(text), {.if_absent = true, .metadata = {}}));
    };
    CHECK(put("abc") == PutOutcome::stored);
    CHECK(bucket.asked().size() == 2);
    const auto upload = bucket.loop.run(storage->start_upload(ObjectKey("k"), {}));
    CHECK_NOTHROW(bucket.loop.run(upload->put_piece(1, 0, bytes_of("abc"))));
    CHECK(bucket.asked().size() == 4);
    CHECK(kind_of([&] { put("other"); }) == ErrorKind::misconfigured); // it is not asked again and again
    CHECK(bucket.asked().size() == 5);
}

TEST_CASE("Yandex's session token goes in its own header too", "[s3]") {
    for (const bool on : {true, false}) {
        Bucket bucket;
        bucket.options.region = "ru-central1";
        bucket.options.access_key = bucket.options.secret_key = "";
        bucket.options.yc_session_token = on;
        bucket.options.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:1/keys";
        bucket.answers([](const std::string& what) -> FakeAnswer {
            if (!has(what, "/keys")) return {200, ""};
            return {200, R"({"AccessKeyId":"C","SecretAccessKey":"s","Token":"iam-token"})"};
        });
        bucket.get();
        CHECK(has(bucket.asked().back(), "x-yacloud-subjecttoken=iam-token") == on);
    }
}

} // namespace walgd::storage
