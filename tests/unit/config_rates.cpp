#include "config/failover_settings.hpp"
#include "config/s3_settings.hpp"
#include "config/setup.hpp"
#include "tests/unit/async_support.hpp"

namespace walgd::config {

namespace {

using test::Loop;
using test::TemporaryFolder;

/// A task that goes on until it is cancelled.
class Endless {
public:
    template <class T> Endless(Loop& loop, awaitable<T> task) {
        asio::co_spawn(loop.io(), std::move(task),
                       asio::bind_cancellation_slot(signal_.slot(), [](std::exception_ptr, auto...) {}));
    }
    void cancel() { signal_.emit(asio::cancellation_type::terminal); }

private:
    asio::cancellation_signal signal_;
};

} // namespace

TEST_CASE("pieces that a memory budget which nobody set has no room for are smaller", "[config]") {
    const auto bytes = [](std::map<std::string, std::string> environment) {
        Sources sources;
        sources.environment = std::move(environment);
        return piece_bytes(Settings::load(sources));
    };
    CHECK(bytes({}) == 8 << 20);
    for (const auto* large : {"20971520", "100MiB", "1GiB"}) CHECK(bytes({{"WALG_S3_MAX_PART_SIZE", large}}) == 16 << 20);
    CHECK(bytes({{"WALG_S3_MAX_PART_SIZE", "20971520"}, {"WALGD_MEMORY_BUDGET", "80MiB"}}) == 20 << 20);
    const auto refused = [&](const char* part, const char* budget) {
        return test::text_of_error([&] { bytes({{"WALG_S3_MAX_PART_SIZE", part}, {"WALGD_MEMORY_BUDGET", budget}}); });
    };
    CHECK_THAT(refused("20971520", "64MiB"), Catch::Contains("less than four times"));
    CHECK_THAT(refused("1MiB", "64MiB"), Catch::Contains("at least 5 MiB"));
}

TEST_CASE("the prefix in S3 is a URL, as WAL-G reads it", "[config]") {
    const auto folder = [](std::map<std::string, std::string> environment) {
        Sources sources;
        sources.environment = std::move(environment);
        return s3_options(Settings::load(sources)).prefix;
    };
    CHECK(folder({{"WALG_S3_PREFIX", "s3://b"}}).empty());
    CHECK(folder({{"WALG_S3_PREFIX", "s3://b//a%20b/c+d/"}}) == "a b/c+d");
    CHECK(folder({{"WALG_S3_PREFIX", "s3://b/a b"}, {"WALG_STORAGE_PREFIX", "/50%"}}) == "a b/50%");
    CHECK(folder({{"S3_ARCHIVE_CONFIG", "https://k:s@host/b/a%2520b"}}) == "a%20b");
    for (const auto* wrong : {"s3://b/50%", "s3://b/a%2", "s3://b/a?b", "s3://b/a#b"})
        CHECK_THAT(test::text_of_error([&] { folder({{"WALG_S3_PREFIX", wrong}}); }), Catch::Contains("no URL of a folder"));
}

TEST_CASE("a failover storage with credentials of its own and no endpoint is at the server of the others, as for WAL-G",
          "[config]") {
    const auto east = [](const std::string& more) {
        Sources sources;
        sources.environment = {
            {"WALG_S3_PREFIX", "s3://b/p"},
            {"AWS_ENDPOINT", "http://minio:9000"},
            {"AWS_REGION", "here"},
            {"AWS_ACCESS_KEY_ID", "A"},
            {"AWS_SECRET_ACCESS_KEY", "S"},
            {"S3_USE_YC_SESSION_TOKEN", "true"},
            {"WALG_FAILOVER_STORAGES", fmt::format(R"({{"east": {{"WALG_S3_PREFIX": "s3://c/p"{}}}}})", more)}};
        return s3_options(storage_settings(Settings::load(sources), "east").front().settings);
    };
    const std::string keys = R"(, "AWS_ACCESS_KEY_ID": "B", "AWS_SECRET_ACCESS_KEY": "T")";
    CHECK(east("").endpoint == "http://minio:9000");
    CHECK(east(keys).endpoint == "http://minio:9000");
    CHECK(east(keys).region == "here");
    CHECK(east("").yc_session_token);
    CHECK_FALSE(east(keys).yc_session_token);
    CHECK(east(keys + R"(, "AWS_ENDPOINT": "http://other:9000")").endpoint == "http://other:9000");
}

TEST_CASE("a failover storage of another server has path style, storage class and encryption of its own", "[config]") {
    const auto east = [](const std::string& given) {
        Sources sources;
        sources.environment = {{"WALG_S3_PREFIX", "s3://b/p"},
                               {"AWS_ENDPOINT", "http://minio:9000"},
                               {"AWS_ACCESS_KEY_ID", "A"},
                               {"AWS_SECRET_ACCESS_KEY", "S"},
                               {"AWS_S3_FORCE_PATH_STYLE", "true"},
                               {"WALG_S3_STORAGE_CLASS", "COLD"},
                               {"WALG_S3_SSE", "aws:kms"},
                               {"WALG_S3_SSE_KMS_ID", "key"},
                               {"WALG_FAILOVER_STORAGES", fmt::format(R"({{"east": {{{}}}}})", given)}};
        return storage_settings(Settings::load(sources), "east").front().settings;
    };
    const std::string prefix = R"("WALG_S3_PREFIX": "s3://c/p")";
    const auto same = s3_options(east(prefix));
    CHECK(same.force_path_style);
    CHECK(same.storage_class == "COLD");
    CHECK(same.sse_kms_id == "key");
    const std::string keys = R"(, "AWS_ACCESS_KEY_ID": "B", "AWS_SECRET_ACCESS_KEY": "T")";
    const std::string other = R"(, "AWS_ENDPOINT": "http://other")", there = R"(, "AWS_ENDPOINT": "http://minio:9000")";
    for (const auto& given : {other, keys + other}) {
        const auto own = s3_options(east(prefix + given));
        CHECK(own.storage_class == "STANDARD");
        CHECK(own.sse.empty());
        CHECK(own.sse_kms_id.empty());
        CHECK_FALSE(own.force_path_style);
    }
    for (const auto& given : {keys, there, keys + there}) {
        const auto own = s3_options(east(prefix + given));
        CHECK(own.storage_class == "COLD");
        CHECK(own.sse_kms_id == "key");
        CHECK(own.force_path_style);
    }
    CHECK(s3_options(east(prefix + R"(, "AWS_ENDPOINT": "http://other", "WALG_S3_SSE": "AES256")")).sse == "AES256");
    CHECK_FALSE(east(R"("WALG_FILE_PREFIX": "/archive")").given("s3_sse")); // which a folder would have to refuse
}

TEST_CASE("a role is assumed with own keys only where its session was given a name", "[config]") {
    const auto session = [](std::map<std::string, std::string> environment) {
        Sources sources;
        environment.insert({{"WALG_S3_PREFIX", "s3://b/p"}, {"AWS_ROLE_ARN", "arn:aws:iam::1:role/r"}});
        sources.environment = std::move(environment);
        return s3_options(Settings::load(sources)).role_session_name;
    };
    CHECK(session({}).empty());
    CHECK(session({{"AWS_ROLE_SESSION_NAME", "me"}}) == "me");
}

TEST_CASE("the look whether a storage can be written to does not stand in line behind a backup", "[config]") {
    const TemporaryFolder folder;
    for (const auto* name : {"default", "east"}) std::filesystem::create_directory(folder / name);
    Sources sources;
    sources.environment = {
        {"WALG_FILE_PREFIX", folder / "default"},
        {"WALG_FAILOVER_STORAGES", fmt::format(R"({{"east": {{"WALG_FILE_PREFIX": "{}"}}}})", folder / "east")},
        {"WALG_FAILOVER_STORAGES_CHECK_TIMEOUT", "2s"},
        {"WALG_FAILOVER_STORAGES_CHECK_SIZE", "1kb"},
        {"WALG_NETWORK_RATE_LIMIT", "100000"}};
    const auto settings = Settings::load(sources);
    const auto log = silent_log();
    Loop loop;
    ArchiveSetup setup(settings, loop.executor(), *log);
    auto& archive = setup.archive();
    const auto& east = archive.members->states()[1];
    const auto begun = east.asked;

    const std::vector<std::byte> piece(10'000'000); // a hundred seconds
    Endless backup(loop, archive.storage.put(storage::ObjectKey("basebackups_005/piece"), piece, {}));
    Endless watch(loop, setup.watch_storages());
    while (east.asked == begun) loop.io().run_one();
    CHECK(east.writes);
    backup.cancel();
    watch.cancel();
    loop.io().run();
}

} // namespace walgd::config
