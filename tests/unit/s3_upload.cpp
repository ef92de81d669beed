#include "common/archive/object_writer.hpp"
#include "common/storage/s3/s3_storage.hpp"
#include "tests/unit/fake_transport.hpp"

namespace walgd::storage {

using test::FakeAnswer;
using test::kind_of;

namespace {

/// A bucket with one object at most, and one upload to it, of two pieces of three bytes together.
struct UploadBucket {
    test::Loop loop;
    std::shared_ptr<Log> log = silent_log();
    std::optional<FakeAnswer> object; ///< what HEAD says
    bool upload_there = true;
    std::function<FakeAnswer(bool conditional)> put; ///< what a whole object's PUT is told
    std::function<FakeAnswer()> completes;
    std::function<FakeAnswer(bool second)> uploads; ///< a page of the unfinished ones
    int aborts = 0;
    std::unique_ptr<Storage> storage;

    UploadBucket() {
        S3Options options;
        options.bucket = "walgd";
        options.region = "us-east-1";
        options.access_key = "A";
        options.secret_key = "S";
        auto transport = std::make_unique<test::FakeTransport>([this](const std::string& what) { return answer(what); });
        storage = make_s3_storage(options, std::move(transport), *log);
    }
    static FakeAnswer of(std::uint64_t bytes, const std::string& etag) { return {200, "", {{"etag", etag}}, bytes}; }
    static FakeAnswer gone() { return {404, "<Error><Code>NoSuchUpload</Code></Error>"}; }

    FakeAnswer answer(const std::string& what) {
        const auto has = [&what](std::string_view part) { return what.find(part) != std::string::npos; };
        if (what.starts_with("GET") && has("uploads=")) return uploads(has("key-marker=wal_005%2Fa&upload-id-marker=u"));
        if (has("uploads="))
            return {200, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"};
        if (has("partNumber=")) return {200, "", {{"etag", "\"piece\""}}};
        if (what.starts_with("PUT")) return put(has("if-none-match="));
        if (what.starts_with("HEAD")) return object.value_or(FakeAnswer{404, ""});
        if (what.starts_with("DELETE")) ++aborts;
        if (what.starts_with("DELETE")) return {204, ""};
        if (what.starts_with("POST") && upload_there) return completes();
        if (what.starts_with("GET") && has("uploadId=") && upload_there) return {200, "<ListPartsResult/>"};
        return has("uploadId=") ? gone() : FakeAnswer{200, "<ListBucketResult/>"};
    }
    /// Nobody answers, but it was done: as `made` is there now.
    void lose_answer(FakeAnswer made) {
        completes = [this, made] {
            object = made;
            upload_there = false;
            return FakeAnswer{0, ""};
        };
    }
    PutOutcome put_if_absent() {
        const std::string body = "x";
        return loop.run(storage->put(ObjectKey("k"), bytes_of(body), {.if_absent = true, .metadata = {}}));
    }
    std::unique_ptr<Upload> upload(bool if_absent) {
        auto begun = loop.run(storage->start_upload(ObjectKey("k"), {.if_absent = if_absent, .metadata = {}}));
        loop.run(begun->put_piece(1, 0, bytes_of("ab")));
        loop.run(begun->put_piece(2, 2, bytes_of("c")));
        return begun;
    }
};

} // namespace

TEST_CASE("a piece more than S3 puts together is refused with what to set", "[s3]") {
    UploadBucket bucket;
    const auto upload = bucket.upload(false);
    bucket.loop.run(upload->put_piece(10'000, 3, bytes_of("d")));
    const auto said = test::text_of_error([&] { bucket.loop.run(upload->put_piece(10'001, 4, bytes_of("e"))); });
    CHECK_THAT(said, Catch::Contains("10000") && Catch::Contains("WALG_S3_MAX_PART_SIZE"));
}

TEST_CASE("a huge object that is copied has pieces large enough to be not too many", "[s3]") {
    constexpr std::uint64_t mib = 1 << 20;
    CHECK(archive::piece_bytes_of(0, 8 * mib) == 8 * mib);
    CHECK(archive::piece_bytes_of(80'000 * mib, 8 * mib) == 8 * mib);
    CHECK(archive::piece_bytes_of(80'000 * mib + 1, 8 * mib) == 8 * mib + 1);
    CHECK(archive::piece_bytes_of(5'000'000 * mib, 8 * mib) == 500 * mib);
}

TEST_CASE("an upload that was completed, its answer lost, is found to be stored", "[s3]") {
    for (const bool if_absent : {true, false}) {
        for (const auto* etag : {"\"0123-2\"", "\"no-such-form\"", "\"0123\""}) {
            UploadBucket bucket;
            const auto upload = bucket.upload(if_absent);
            bucket.lose_answer(UploadBucket::of(3, etag));
            CHECK(kind_of([&] { bucket.loop.run(upload->complete()); }) == ErrorKind::transient);
            CHECK(bucket.loop.run(upload->complete()) == PutOutcome::stored);
        }
    }
}

TEST_CASE("an object that is not the upload's is not taken for it", "[s3]") {
    for (const auto& other : {UploadBucket::of(4, "\"0123-2\""), UploadBucket::of(3, "\"0123-3\"")}) {
        UploadBucket bucket;
        bucket.object = other;
        // Somebody aborted it, or it was too old for the bucket's rules.
        auto upload = bucket.upload(false);
        bucket.upload_there = false;
        CHECK(kind_of([&] { bucket.loop.run(upload->complete()); }) == ErrorKind::refused);
        upload = bucket.upload(true);
        CHECK(bucket.loop.run(upload->complete()) == PutOutcome::exists);
    }
    // Of the same size, while the upload is still open.
    UploadBucket bucket;
    bucket.object = UploadBucket::of(3, "\"0123-2\"");
    const auto upload = bucket.upload(true);
    CHECK(bucket.loop.run(upload->complete()) == PutOutcome::exists);
    CHECK(bucket.aborts == 1);
}

TEST_CASE("a server that does not know If-None-Match is found out once, and is sent what it knows", "[s3]") {
    const FakeAnswer unknown{501, "<Error><Code>NotImplemented</Code></Error>"}, stored{200, "", {{"etag", "\"e\""}}};
    for (const auto& refusal :
         {FakeAnswer{400, "<Error><Code>NotImplemented</Code><Message>A header you provided ...</Message></Error>"},
          FakeAnswer{400, "<Error><Code>InvalidArgument</Code><ArgumentName>If-None-Match</ArgumentName></Error>"},
          FakeAnswer{400, "<Error><Code>InvalidRequest</Code><Message>if-none-match is not supported</Message></Error>"}}) {
        UploadBucket one;
        one.put = [&](bool condition) { return condition ? refusal : stored; };
        CHECK(one.put_if_absent() == PutOutcome::stored);
        CHECK(one.put_if_absent() == PutOutcome::stored);
    }
    for (const auto* other : {"InvalidArgument", "InvalidStorageClass", "EntityTooLarge"}) {
        UploadBucket one;
        one.put = [&](bool) { return FakeAnswer{400, fmt::format("<Error><Code>{}</Code></Error>", other)}; };
        CHECK_THAT(test::text_of_error([&] { one.put_if_absent(); }), Catch::Contains(other));
        one.put = [&](bool condition) { return condition ? FakeAnswer{412, ""} : stored; };
        CHECK(one.put_if_absent() == PutOutcome::exists);
    }
    UploadBucket bucket;
    std::vector<bool> conditional;
    bucket.put = [&](bool condition) {
        conditional.push_back(condition);
        return condition ? unknown : stored;
    };
    CHECK(bucket.put_if_absent() == PutOutcome::stored);
    CHECK(bucket.put_if_absent() == PutOutcome::stored);
    CHECK(conditional == std::vector{true, false, false});
    const auto upload = bucket.upload(true);
    bucket.completes = [] { return FakeAnswer{200, "<CompleteMultipartUploadResult/>"}; };
    CHECK(bucket.loop.run(upload->complete()) == PutOutcome::stored);
    // One that knew it is not taken at its word.
    UploadBucket another;
    another.put = [&](bool) { return stored; };
    CHECK(another.put_if_absent() == PutOutcome::stored);
    another.put = [&](bool) { return unknown; };
    CHECK(kind_of([&] { another.put_if_absent(); }) == ErrorKind::misconfigured);
}

TEST_CASE("whether a put that was sent twice found its own object is left to who tries again", "[s3]") {
    UploadBucket bucket;
    bucket.put = [](bool) { return FakeAnswer{412, ""}; };
    CHECK(bucket.put_if_absent() == PutOutcome::exists);
    bucket.put = [](bool) {
        FakeAnswer answer{412, ""};
        answer.resent = true;
        return answer;
    };
    CHECK(kind_of([&] { bucket.put_if_absent(); }) == ErrorKind::transient);
}

TEST_CASE("old unfinished uploads are aborted behind a page of young ones too", "[s3]") {
    const auto page = [](std::string_view key, std::string_view started, std::string_view more) {
        return FakeAnswer{200, fmt::format("<ListMultipartUploadsResult>{}<Upload><Key>{}</Key><UploadId>u</UploadId>"
                                           "<Initiated>{}</Initiated></Upload></ListMultipartUploadsResult>",
                                           more, key, started)};
    };
    constexpr auto more = "<IsTruncated>true</IsTruncated><NextKeyMarker>wal_005/a</NextKeyMarker>"
                          "<NextUploadIdMarker>u</NextUploadIdMarker>";
    const std::string young = "2100-01-01T00:00:00.000Z", old = "2020-01-01T00:00:00.000Z";
    UploadBucket bucket;
    bucket.uploads = [&](bool second) { return second ? page("wal_005/b", old, "") : page("wal_005/a", young, more); };
    CHECK(bucket.loop.run(bucket.storage->remove_stale_uploads("wal_005/", std::chrono::hours(24))) == 1);
    CHECK(bucket.aborts == 1);
    // A server that gives the first page again and again.
    bucket.uploads = [&](bool) { return page("wal_005/a", young, more); };
    CHECK(bucket.loop.run(bucket.storage->remove_stale_uploads("wal_005/", std::chrono::hours(24))) == 0);
}

} // namespace walgd::storage
