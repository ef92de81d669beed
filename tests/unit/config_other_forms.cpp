#include "common/base/files.hpp"
#include "config/archive_url.hpp"
#include "config/env_file.hpp"
#include "config/settings.hpp"
#include "tests/unit/async_support.hpp"

namespace walgd::config {

using Catch::Contains;
using test::text_of_error;

namespace {

Settings load(std::map<std::string, std::string> environment) {
    Sources sources;
    sources.environment = std::move(environment);
    return Settings::load(sources);
}

Settings load_file(const std::string& text, std::map<std::string, std::string> environment = {}) {
    const test::TemporaryFolder folder;
    write_file_atomically(folder / "env", bytes_of(text), 0600);
    Sources sources;
    sources.environment = std::move(environment);
    sources.config_file = folder / "env";
    return Settings::load(sources);
}

} // namespace

TEST_CASE("a file of NAME=VALUE lines is read as systemd and shells read it", "[config]") {
    CHECK_FALSE(parse_env_file("", "file"));
    CHECK_FALSE(parse_env_file("# only a comment\n", "file"));
    CHECK_FALSE(parse_env_file("name: value\n", "file"));
    CHECK_FALSE(parse_env_file("{\"A\": \"b=c\"}", "file"));
    const auto value = [](const std::string& text) { return parse_env_file("A=" + text, "file").value().at(0).value; };
    CHECK(value("plain") == "plain");
    CHECK(value("a=b#c $HOME") == "a=b#c $HOME");
    CHECK(value("  ").empty());
    CHECK(value("\"two words\"") == "two words");
    CHECK(value("'it $x \\n'") == "it $x \\n");
    CHECK(value(R"("a \"b\" \\ \$c \n")") == R"(a "b" \ $c \n)");
    CHECK(value("windows\r") == "windows");
    CHECK(value("secret  # of the backup's user") == "secret");
    CHECK(value("'a # b'\t# note") == "a # b");
    CHECK(value(" # nothing").empty());
    CHECK_FALSE(parse_env_file("A='a' b\n", "file"));
    const auto both = parse_env_file("; a comment too\nA=1\n  export B='2'\n", "file").value();
    REQUIRE(both.size() == 2);
    CHECK(both[1].name == "B");
    CHECK(both[1].value == "2");
    CHECK(both[1].line == 3);
    CHECK_THAT(text_of_error([] { parse_env_file("A=1\nnonsense\n", "file"); }), Contains("file line 2 is not NAME=VALUE"));
    CHECK_THAT(text_of_error([] { parse_env_file("A=1\nB=\"open\n", "file"); }), Contains("file line 2"));
}

TEST_CASE("the settings file may be such a file", "[config]") {
    const auto text = "WALG_FILE_PREFIX=/store\nexport WALG_COMPRESSION_METHOD='zstd'\nPATH=/bin\nlog_level=DEVEL\n";
    CHECK(load_file(text).text("file_prefix") == "/store");
    CHECK(load_file(text).text("compression_method") == "zstd");
    CHECK(load_file(text).text("log_level") == "DEVEL");
    CHECK_THAT(load_file(text).source("file_prefix"), Contains("/env"));
    CHECK(load_file(text, {{"WALG_COMPRESSION_METHOD", "lzma"}}).text("compression_method") == "lzma");
    CHECK_THAT(text_of_error([] { load_file("WALG_FILE_PREFIX=/x\nWALG_COMPRESION_METHOD=zstd\n"); }),
               Contains("env line 2") && Contains("did you mean WALG_COMPRESSION_METHOD"));
}

TEST_CASE("Fly's secret names the whole archive", "[config]") {
    const auto url = parse_archive_url("https://tid_a:tsec%2Fb%40@fly.storage.tigris.dev/bucket/my-app");
    REQUIRE(url);
    CHECK(url->endpoint == "https://fly.storage.tigris.dev");
    CHECK(url->prefix == "s3://bucket/my-app");
    CHECK(url->access_key == "tid_a");
    CHECK(url->secret_key == "tsec/b@");
    CHECK(parse_archive_url("http://a:b@127.0.0.1:9000/bucket/x/y/")->prefix == "s3://bucket/x/y");
    for (const auto* wrong :
         {"", "s3://a:b@h/c/d", "https://h/c/d", "https://a@h/c/d", "https://a:b@h/c", "https://a:b@h//d", "https://a:@h/c/d",
          "https://a:b@/c/d", "https://a:b%2@h/c/d", "https://a:b%zz@h/c/d", "https://a:b@h/c/d?x"})
        CHECK_FALSE(parse_archive_url(wrong));
}

TEST_CASE("Fly's variables are taken where nothing else says where the archive is", "[config]") {
    const std::string secret = "https://key:canary@host/bucket/dir";
    const auto settings = load({{"S3_ARCHIVE_CONFIG", secret}});
    CHECK(settings.text("s3_prefix") == "s3://bucket/dir");
    CHECK(settings.text("aws_endpoint") == "https://host");
    CHECK(settings.text("aws_secret_access_key") == "canary");
    CHECK(settings.source("s3_prefix") == "environment S3_ARCHIVE_CONFIG");
    CHECK(load({{"S3_ARCHIVE_CONFIG", secret}, {"WALG_FILE_PREFIX", "/x"}}).text("s3_prefix").empty());
    CHECK_THAT(load({{"S3_ARCHIVE_CONFIG", secret}, {"AWS_ACCESS_KEY_ID", "other"}}).warnings().at(0),
               Contains("aws_access_key_id") && !Contains("other"));
    CHECK(load_file("S3_ARCHIVE_CONFIG=" + secret + "\n").text("s3_prefix") == "s3://bucket/dir");
    CHECK_THAT(text_of_error([] { load({{"S3_ARCHIVE_CONFIG", "https://key:canary@host/bucket"}}); }),
               Contains("https://KEY:SECRET@host/bucket/directory") && !Contains("canary"));
    CHECK(load({{"BUCKET_NAME", "b"}, {"FLY_APP_NAME", "app"}}).text("s3_prefix") == "s3://b/app");
    CHECK(load({{"BUCKET_NAME", "b"}}).text("s3_prefix").empty()); // somebody else's
}

TEST_CASE("an image's word for the WAL-G that is in it is nobody's mistake", "[config]") {
    CHECK(load({{"WALG_FILE_PREFIX", "/x"}, {"WALG_VERSION", "v3.0.7"}, {"WALE_VERSION", "1.1.0"}}).warnings().empty());
}

TEST_CASE("names that scripts around WAL-G have for themselves are nobody's mistake", "[config]") {
    const auto settings = load({{"WALG_FILE_PREFIX", "/x"}, {"WALG_DISABLE_S3_SSE", "true"}, {"WALE_ENV_DIR", "/etc/wal-e"}});
    CHECK(settings.warnings().empty());
}

} // namespace walgd::config
