#include "common/storage/s3/answers.hpp"

#include "common/storage/s3/credentials.hpp"
#include "tests/unit/async_support.hpp"

#include <fmt/format.h>

namespace walgd::storage {

using test::kind_of;

namespace {

Error error_for(int status, const std::string& code) {
    const auto body = code.empty() ? std::string()
                                   : "<?xml version=\"1.0\"?><Error><Code>" + code +
                                         "</Code><Message>words</Message><RequestId>R1</RequestId></Error>";
    return error_of(parse_failure(status, body, "header-id", ""), "cannot put s3://b/k");
}

} // namespace

TEST_CASE("a failure says what to do by its kind and names object, code and request", "[s3]") {
    CHECK(error_for(503, "SlowDown").kind() == ErrorKind::transient);
    CHECK(error_for(500, "InternalError").kind() == ErrorKind::transient);
    CHECK(error_for(429, "").kind() == ErrorKind::transient);
    CHECK(error_for(499, "").kind() == ErrorKind::transient);
    CHECK(error_for(403, "AccessDenied").kind() == ErrorKind::denied);
    CHECK(error_for(403, "InvalidAccessKeyId").kind() == ErrorKind::denied);
    CHECK(error_for(404, "NoSuchBucket").kind() == ErrorKind::misconfigured);
    const auto error = error_for(403, "AccessDenied");
    for (const auto* part : {"s3://b/k", "403", "AccessDenied", "words", "header-id"})
        CHECK_THAT(error.what(), Catch::Contains(part));
    CHECK_FALSE(error.hint().empty());
    CHECK_THAT(error_for(403, "").what(), Catch::Contains("header-id"));
    CHECK_THAT(error_for(403, "RequestTimeTooSkewed").hint(), Catch::Contains("clock"));
    // Not the bucket's name, and not a right.
    CHECK_THAT(error_for(404, "NoSuchUpload").hint(), Catch::Contains("aborted") && !Catch::Contains("bucket exist"));
    CHECK_THAT(error_for(403, "InvalidObjectState").hint(), Catch::Contains("Glacier") && !Catch::Contains("credentials"));
}

TEST_CASE("only an object that is not there is absent", "[s3]") {
    auto failure = [](int status, const std::string& code) {
        return parse_failure(status, "<Error><Code>" + code + "</Code></Error>", "", "");
    };
    CHECK(is_absent(failure(404, "NoSuchKey")));
    CHECK_FALSE(is_absent(failure(404, "NoSuchBucket")));
    CHECK_FALSE(is_absent(failure(403, "AccessDenied")));
    CHECK_FALSE(is_absent(failure(503, "SlowDown")));
}

TEST_CASE("a listing is read whole, encoded names too", "[s3]") {
    const auto page =
        parse_list(R"(<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
        <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextContinuationToken>tok/en=</NextContinuationToken>
        <Contents><Key>p/a%20b</Key><LastModified>2026-05-01T10:00:00.123Z</LastModified><ETag>"e1"</ETag><Size>12345678901</Size></Contents>
        <CommonPrefixes><Prefix>p/dir/</Prefix></CommonPrefixes></ListBucketResult>)");
    REQUIRE(page.objects.size() == 1);
    CHECK(page.objects[0].key.path() == "p/a b");
    CHECK(page.objects[0].bytes == 12345678901);
    CHECK(page.folders == std::vector<std::string>{"p/dir/"});
    CHECK(page.next == "tok/en=");
    CHECK(parse_list("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>").objects.empty());
}

TEST_CASE("a wrong clock shows in the answer's date where there is no body that tells", "[s3]") {
    const auto now = std::chrono::sys_days(std::chrono::year(2026) / 3 / 1) + std::chrono::hours(12);
    auto told = [&](int status, const std::string& code, const std::string& date) {
        S3Failure failure;
        failure.status = status;
        failure.code = code;
        tell_skew(failure, date, now);
        return failure.code;
    };
    CHECK(told(403, "", "Sun, 01 Mar 2026 12:16:00 GMT") == "RequestTimeTooSkewed");
    CHECK(told(403, "", "Sun, 01 Mar 2026 11:44:00 GMT") == "RequestTimeTooSkewed");
    CHECK(told(403, "", "Sun, 01 Mar 2026 12:14:00 GMT").empty());
    CHECK(told(403, "", "yesterday").empty());
    CHECK(told(403, "AccessDenied", "Sun, 01 Mar 2026 13:00:00 GMT") == "AccessDenied");
    CHECK(told(404, "", "Sun, 01 Mar 2026 13:00:00 GMT").empty());
}

TEST_CASE("what is not S3's XML is no listing", "[s3]") {
    for (const auto* text : {"", "<html>proxy</html>", "<ListBucketResult>", "{}"})
        CHECK(kind_of([&] { parse_list(text); }) == ErrorKind::transient);
    CHECK(kind_of([] { parse_upload_id("<InitiateMultipartUploadResult/>"); }) == ErrorKind::transient);
}

TEST_CASE("a completion that failed under status 200 is a failure", "[s3]") {
    CHECK_NOTHROW(
        check_complete("<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>", "cannot complete k"));
    CHECK_THROWS_WITH(check_complete("<Error><Code>InternalError</Code><Message>later</Message></Error>", "cannot complete k"),
                      Catch::Contains("cannot complete k") && Catch::Contains("InternalError"));
    for (const auto* code : {"InternalError", "SlowDown", "ServiceUnavailable", "ConditionalRequestConflict"}) {
        const auto text = fmt::format("<Error><Code>{}</Code></Error>", code);
        CHECK(kind_of([&] { check_complete(text, "cannot complete k"); }) == ErrorKind::transient);
    }
    CHECK(kind_of([&] { check_complete("<Error><Code>InvalidPart</Code></Error>", ""); }) == ErrorKind::misconfigured);
}

TEST_CASE("a token service that throttles, or waits for another, is asked again", "[s3]") {
    for (const auto* code : {"Throttling", "RequestLimitExceeded", "IDPCommunicationError"}) {
        const auto body = fmt::format("<ErrorResponse><Error><Code>{}</Code></Error></ErrorResponse>", code);
        CHECK(error_of(parse_failure(400, body, "", ""), "cannot assume role r").kind() == ErrorKind::transient);
    }
}

TEST_CASE("keys that could not be deleted come back, each by name", "[s3]") {
    const auto failures = parse_delete("<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</"
                                       "Code><Message>no</Message></Error></DeleteResult>");
    REQUIRE(failures.size() == 1);
    CHECK(failures[0].key == "b");
    CHECK(failures[0].code == "AccessDenied");
    CHECK(error_of(failures[0], "").kind() == ErrorKind::denied);
    CHECK(error_of(DeleteFailure{"k", "SlowDown", "later"}, "").kind() == ErrorKind::transient);
    CHECK(error_of(DeleteFailure{"k", "InternalError", ""}, "").kind() == ErrorKind::transient);
    CHECK(error_of(DeleteFailure{"k", "ObjectLocked", ""}, "").kind() == ErrorKind::misconfigured);
    CHECK_THAT(delete_body({"a&b"}), Catch::Contains("a&amp;b"));
}

TEST_CASE("what a bucket keeps of removed objects is told apart", "[s3]") {
    CHECK(parse_versioning("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"));
    CHECK(parse_versioning("<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"));
    CHECK_FALSE(parse_versioning("<VersioningConfiguration/>"));
    CHECK(kind_of([] { parse_versioning("<html/>"); }) == ErrorKind::transient);
    const std::string head = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>",
                      tail = "</ObjectLockConfiguration>";
    CHECK(parse_object_lock(head + "<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>30</Days></DefaultRetention></Rule>" +
                            tail) == "COMPLIANCE for 30 days");
    CHECK(parse_object_lock(head + tail).empty());
}

TEST_CASE("a profile is found among others", "[s3]") {
    const auto text =
        "# comment\n[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n[profile other]\naws_access_key_id=C\n"
        "aws_secret_access_key = D # not a comment\naws_session_token=T\n";
    CHECK(parse_profile(text, "default")["aws_access_key_id"] == "A");
    CHECK(parse_profile(text, "default")["aws_secret_access_key"] == "B");
    CHECK(parse_profile(text, "other")["aws_access_key_id"] == "C");
    CHECK(parse_profile(text, "other")["aws_session_token"] == "T");
    CHECK(parse_profile(text, "none").empty());
}

} // namespace walgd::storage
