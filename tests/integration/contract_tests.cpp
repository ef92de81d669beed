// The server is told by WALGD_TEST_S3_ENDPOINT, _BUCKET, _ACCESS_KEY, _SECRET_KEY and _CA; without them, a folder. What may be
// asked of it beside: _REGION, _HOST_STYLE, _SSE, _SSE_KMS_ID, _SSE_C, _STORAGE_CLASS.
#include "common/storage/s3/s3_storage.hpp"
#include "tests/unit/file_backend.hpp"

#include <cstdlib>
#include <random>

namespace walgd::test {

inline std::string given(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

/// A prefix of its own in the server's bucket; the file storage where no server is given.
class ServerBackend {
public:
    ServerBackend() : log_(silent_log()) {
        storage::S3Options options;
        options.endpoint = given("WALGD_TEST_S3_ENDPOINT");
        if (options.endpoint.empty()) return;
        options.bucket = given("WALGD_TEST_S3_BUCKET");
        options.access_key = given("WALGD_TEST_S3_ACCESS_KEY");
        options.secret_key = given("WALGD_TEST_S3_SECRET_KEY");
        options.ca_file = given("WALGD_TEST_S3_CA");
        options.region = given("WALGD_TEST_S3_REGION");
        options.force_path_style = given("WALGD_TEST_S3_HOST_STYLE").empty();
        options.sse = given("WALGD_TEST_S3_SSE");
        options.sse_kms_id = given("WALGD_TEST_S3_SSE_KMS_ID");
        options.sse_customer_key = given("WALGD_TEST_S3_SSE_C");
        options.storage_class = given("WALGD_TEST_S3_STORAGE_CLASS");
        options.prefix = "contract/" + std::to_string(std::random_device{}());
        s3_ = storage::make_s3_storage(options, loop.executor(), *log_);
    }
    storage::Storage& storage() { return s3_ ? *s3_ : file_.storage(); }

private:
    FileBackend file_;

public:
    Loop& loop = file_.loop;

private:
    std::shared_ptr<Log> log_;
    std::unique_ptr<storage::Storage> s3_;
};

class RetryingServerBackend {
public:
    RetryingServerBackend()
        : log_(silent_log()),
          storage_(storage::make_retrying_storage(inner_.storage(), {}, storage::real_retry_environment(), *log_)) {}
    storage::Storage& storage() { return *storage_; }

private:
    ServerBackend inner_;

public:
    Loop& loop = inner_.loop;

private:
    std::shared_ptr<Log> log_;
    std::unique_ptr<storage::Storage> storage_;
};

} // namespace walgd::test

#define CONTRACT_BACKENDS walgd::test::ServerBackend, walgd::test::RetryingServerBackend
#include "tests/unit/storage_contract.hpp"

namespace walgd::test {

TEST_CASE("metadata is kept with an object", "[storage]") {
    if (given("WALGD_TEST_S3_ENDPOINT").empty()) return; // a folder keeps none
    Spoken<ServerBackend> there;
    storage::PutOptions options;
    options.metadata["walgd-sha256"] = "abc";
    there.run(there.storage().put(ObjectKey("m"), bytes_of("x"), options));
    CHECK(there.head("m")->metadata.at("walgd-sha256") == "abc");
}

TEST_CASE("a copy of more than goes by one request has all of its source", "[storage]") {
    Spoken<RetryingServerBackend> there;
    const std::string from = "basebackups_005/b/tar_partitions/part_001.tar", to = "basebackups_005/b/tar_partitions/copy_0.tar";
    const auto once = noise(1 << 20);
    std::string body;
    for (char number = 0; number < 70; ++number) {
        body += text_of(once.view());
        body.back() = number;
    }
    there.put(from, body);
    CHECK(there.copy(from, to) == storage::CopyOutcome::copied);
    CHECK(there.head(to)->bytes == body.size());
    CHECK((there.get(to) == body));
}

} // namespace walgd::test
