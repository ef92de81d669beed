#include "common/storage/s3/s3_storage.hpp"
#include "tests/unit/fake_transport.hpp"

namespace walgd::storage {

using Catch::Contains;
using test::FakeAnswer;

namespace {

/// A bucket with one object, that answers a copy as the test wants.
struct CopyBucket {
    test::Loop loop;
    std::shared_ptr<Log> log = silent_log();
    S3Options options;
    FakeAnswer copied{200, "<CopyObjectResult><ETag>\"x\"</ETag></CopyObjectResult>"};
    FakeAnswer abort_answer{204, ""};
    std::optional<std::uint64_t> object_bytes = 3;
    std::string asked;
    std::vector<std::string> pieces;
    int completed = 0, aborted = 0;

    CopyBucket() {
        options.bucket = "walgd";
        options.prefix = "a b";
        options.endpoint = "http://127.0.0.1:9000";
        options.region = "us-east-1";
        options.access_key = "A";
        options.secret_key = "S";
    }
    CopyOutcome copy() {
        auto transport = std::make_unique<test::FakeTransport>([this](const std::string& what) {
            if (what.starts_with("GET")) return FakeAnswer{200, "<ListBucketResult/>"};
            if (what.starts_with("HEAD"))
                return object_bytes ? FakeAnswer{200, "", {{"etag", "\"x\""}}, object_bytes} : FakeAnswer{404, ""};
            if (what.find("uploads=") != std::string::npos)
                return FakeAnswer{200, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"};
            if (what.starts_with("DELETE")) ++aborted;
            if (what.starts_with("DELETE")) return abort_answer;
            if (what.starts_with("POST")) ++completed;
            if (what.starts_with("POST")) return FakeAnswer{200, "<CompleteMultipartUploadResult/>"};
            asked = what;
            const std::string_view range = "x-amz-copy-source-range=";
            if (const auto at = what.find(range); at != std::string::npos) {
                const auto begin = at + range.size();
                pieces.push_back(what.substr(begin, what.find(' ', begin) - begin));
            }
            return copied;
        });
        const auto storage = make_s3_storage(options, std::move(transport), *log);
        return loop.run(storage->copy(ObjectKey("from+1.tar"), ObjectKey("to.tar")));
    }
};

} // namespace

TEST_CASE("S3 copies by a request that names bucket and source, and has the settings for new objects", "[s3]") {
    CopyBucket bucket;
    bucket.options.storage_class = "STANDARD_IA";
    CHECK(bucket.copy() == CopyOutcome::copied);
    CHECK_THAT(bucket.asked, Catch::StartsWith("PUT 127.0.0.1:9000/walgd/a%20b/to.tar ") &&
                                 Contains(" x-amz-copy-source=/walgd/a%20b/from%2B1.tar") &&
                                 Contains(" x-amz-storage-class=STANDARD_IA"));
    bucket.options.sse_customer_key = "12345678901234567890123456789012";
    CHECK(bucket.copy() == CopyOutcome::copied);
    CHECK_THAT(bucket.asked, Contains(" x-amz-copy-source-server-side-encryption-customer-key=") &&
                                 Contains(" x-amz-server-side-encryption-customer-key="));
}

TEST_CASE("S3 copies a large object by ranges of it, and aborts what does not come to an end", "[s3]") {
    CopyBucket bucket;
    bucket.object_bytes = (130ULL << 20) + 5;
    bucket.copied = {200, "<CopyPartResult><ETag>\"p\"</ETag></CopyPartResult>"};
    CHECK(bucket.copy() == CopyOutcome::copied);
    CHECK(bucket.pieces == std::vector<std::string>{"bytes=0-67108863", "bytes=67108864-134217727", "bytes=134217728-136314884"});
    CHECK(bucket.completed == 1);
    CHECK(bucket.aborted == 0);
    bucket.copied = {404, "<Error><Code>NoSuchKey</Code></Error>"};
    CHECK(bucket.copy() == CopyOutcome::absent);
    CHECK(bucket.aborted == 1);
    bucket.copied = {200, "<Error><Code>InternalError</Code></Error>"};
    CHECK(test::kind_of([&] { bucket.copy(); }) == ErrorKind::transient);
    CHECK(bucket.aborted == 2);
    CHECK(bucket.completed == 1);
    bucket.copied = {400, "<Error><Code>InvalidRequest</Code></Error>"};
    bucket.abort_answer = {503, "<Error><Code>SlowDown</Code></Error>"};
    CHECK_THAT(test::text_of_error([&] { bucket.copy(); }), Contains("InvalidRequest"));
    CHECK(bucket.aborted == 3);
}

TEST_CASE("S3's answers to a copy are told apart", "[s3]") {
    CopyBucket bucket;
    SECTION("no source") {
        bucket.object_bytes.reset();
        CHECK(bucket.copy() == CopyOutcome::absent);
        CHECK(bucket.asked.empty());
    }
    SECTION("the source went meanwhile") {
        bucket.copied = {404, "<Error><Code>NoSuchKey</Code></Error>"};
        CHECK(bucket.copy() == CopyOutcome::absent);
    }
    SECTION("one without an answer's sense") {
        bucket.copied = {404, "<Error><Code>NoSuchBucket</Code></Error>"};
        CHECK(test::kind_of([&] { bucket.copy(); }) == ErrorKind::misconfigured);
    }
    SECTION("a server that does not know it") {
        bucket.copied = {501, "<Error><Code>NotImplemented</Code></Error>"};
        CHECK(bucket.copy() == CopyOutcome::unable);
    }
    SECTION("a failure behind a 200") {
        bucket.copied = {200, "<Error><Code>InternalError</Code></Error>"};
        CHECK(test::kind_of([&] { bucket.copy(); }) == ErrorKind::transient);
    }
    SECTION("a plain put's answer: the server stored an empty object") {
        bucket.copied = {200, ""};
        CHECK(test::kind_of([&] { bucket.copy(); }) == ErrorKind::transient);
    }
    SECTION("not allowed") {
        bucket.copied = {403, "<Error><Code>AccessDenied</Code></Error>"};
        CHECK(test::kind_of([&] { bucket.copy(); }) == ErrorKind::denied);
    }
}

} // namespace walgd::storage
