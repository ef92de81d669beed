#include "common/base/files.hpp"
#include "config/failover_settings.hpp"
#include "config/packing_settings.hpp"
#include "config/process.hpp"
#include "config/reference.hpp"
#include "config/settings.hpp"
#include "config/values.hpp"
#include "tests/unit/async_support.hpp"

#include <fmt/format.h>

namespace walgd::config {

using Catch::Contains;
using test::text_of_error;

namespace {

struct Given {
    Sources sources;
    test::TemporaryFolder folder;
    Given() { sources.environment["WALG_CONFIG_PATH"] = folder / "walgd.yaml"; }
    Given& file(const std::string& text) {
        write_file_atomically(folder / "walgd.yaml", bytes_of(text), 0600);
        return *this;
    }
    Given& env(const std::string& name, const std::string& value) {
        sources.environment[name] = value;
        return *this;
    }
    Settings load() {
        if (!std::filesystem::exists(folder / "walgd.yaml")) file("");
        return Settings::load(sources);
    }
    std::string error() {
        return text_of_error([this] { load(); });
    }
};

} // namespace

TEST_CASE("the command line wins over the environment, that over the file, that over the default", "[config]") {
    Given given;
    CHECK(given.load().text("compression_method") == "lz4");
    CHECK(given.load().source("compression_method") == "default");
    CHECK(given.file("compression_method: zstd\n").load().text("compression_method") == "zstd");
    CHECK(given.load().source("compression_method") == given.folder / "walgd.yaml");
    given.env("WALG_COMPRESSION_METHOD", "brotli");
    CHECK(given.load().text("compression_method") == "brotli");
    CHECK(given.load().source("compression_method") == "environment WALG_COMPRESSION_METHOD");
    given.sources.command_line["walg-compression-method"] = "lzma";
    CHECK(given.load().text("compression_method") == "lzma");
    CHECK(given.load().source("compression_method") == "command line");
}

TEST_CASE("WAL-G's names are understood in environment and file, WALE_ and bare S3 forms too", "[config]") {
    CHECK(Given().env("WALE_S3_PREFIX", "s3://b/p").load().text("s3_prefix") == "s3://b/p");
    CHECK(Given().env("S3_MAX_PART_SIZE", "10485760").load().bytes("s3_max_part_size") == 10 << 20);
    CHECK(Given().env("AWS_DEFAULT_REGION", "eu-west-1").load().text("aws_region") == "eu-west-1");
    CHECK(Given().file("{\"WALG_S3_PREFIX\": \"s3://b/p\", \"PGHOST\": \"/tmp\"}").load().text("pghost") == "/tmp");
    CHECK(Given().env("PGHOST", "a,b").env("PGPORT", "5432,5433").load().text("pgport") == "5432,5433");
    CHECK(Given().env("UNRELATED", "x").env("PATH", "/bin").load().warnings().empty());
}

TEST_CASE("a name that stands in for another does not go before that one in the file, as for WAL-G", "[config]") {
    Given given;
    given.file("WALG_FILE_PREFIX: /of/file\naws_region: eu-central-1\n");
    given.env("WALE_FILE_PREFIX", "/of/wal-e").env("AWS_DEFAULT_REGION", "us-east-1");
    CHECK(given.load().text("file_prefix") == "/of/file");
    CHECK(given.load().text("aws_region") == "eu-central-1");
    CHECK_THAT(given.load().warnings().front(), Contains("WALE_FILE_PREFIX is set, and file_prefix in"));
    CHECK(given.env("WALG_FILE_PREFIX", "/of/environment").load().text("file_prefix") == "/of/environment");
    CHECK(Given().file("file_prefix: /of/file\n").env("FILE_PREFIX", "/x").load().text("file_prefix") == "/of/file");
    CHECK(Given().file("WALE_FILE_PREFIX: /of/file\n").env("WALE_FILE_PREFIX", "/x").load().text("file_prefix") == "/x");
    CHECK(Given().file("WALE_FILE_PREFIX: /of/file\n").env("WALG_FILE_PREFIX", "/x").load().text("file_prefix") == "/x");
    CHECK(Given().file("aws_region: a\n").env("AWS_DEFAULT_REGION", "a").load().warnings().empty());
}

TEST_CASE("what JSON alone can write is understood in a JSON file", "[config]") {
    const auto settings = Given().file("{\n\t\"PGPASSWORD\": \"\\ud83d\\ude00\\/\", \"WALG_UPLOAD_CONCURRENCY\": 4\n}\n").load();
    CHECK(settings.text("pgpassword") == "\xf0\x9f\x98\x80/");
    CHECK(settings.number("upload_concurrency") == 4);
}

TEST_CASE("a whole number that a program wrote as a floating one is read as WAL-G reads it", "[config]") {
    const auto yaml = Given().file("WALG_TAR_SIZE_THRESHOLD: 1.073741823e+09\nWALG_UPLOAD_CONCURRENCY: 10.0\n").load();
    CHECK(yaml.bytes("tar_size_threshold") == 1073741823);
    CHECK(yaml.number("upload_concurrency") == 10);
    CHECK(Given().file("{\"WALG_DELTA_MAX_STEPS\": 6.0}").load().number("delta_max_steps") == 6);
    for (const auto* wrong : {"6.5", "\"6.0\"", "-1.0", "1e300", "1e"})
        CHECK_THAT(Given().file(fmt::format("WALG_DELTA_MAX_STEPS: {}\n", wrong)).error(), Contains("is not a whole number"));
    CHECK(Given().file("PGPASSWORD: 1e3\n").load().text("pgpassword") == "1e3");
}

TEST_CASE("an unknown name is an error with the nearest right one", "[config]") {
    CHECK_THAT(Given().env("WALG_COMPRESION_METHOD", "zstd").error(),
               Contains("WALG_COMPRESION_METHOD") && Contains("did you mean WALG_COMPRESSION_METHOD"));
    CHECK_THAT(Given().env("WALGD_SOKET", "/x").error(), Contains("WALGD_SOCKET"));
    CHECK_THAT(Given().file("compresion_method: zstd\n").error(),
               Contains("compresion_method") && Contains("compression_method") && Contains("walgd.yaml"));
}

TEST_CASE("what Kubernetes says of a Service that is called walgd or the like is no setting", "[config]") {
    Given given;
    given.env("WALGD_SERVICE_HOST", "10.0.0.1").env("WALGD_SERVICE_PORT", "9351").env("WALGD_SERVICE_PORT_METRICS", "9351");
    given.env("WALGD_PORT", "tcp://10.0.0.1:9351").env("WALGD_PORT_9351_TCP", "tcp://10.0.0.1:9351");
    given.env("WALGD_PORT_9351_TCP_PROTO", "tcp").env("WALGD_PORT_9351_TCP_PORT", "9351");
    given.env("WALGD_PORT_9351_TCP_ADDR", "10.0.0.1").env("WALG_EXPORTER_SERVICE_HOST", "10.0.0.2");
    given.env("S3_ENDPOINT_PORT", "tcp://10.0.0.3:9000").env("S3_ENDPOINT_SERVICE_HOST", "10.0.0.3");
    CHECK(given.load().warnings().empty());
    CHECK_THAT(Given().env("WALGD_PORT", "5432").error(), Contains("WALGD_PORT") && Contains("is not a setting"));
    CHECK_THAT(Given().env("WALG_S3_PORT", "9000").error(), Contains("WALG_S3_PORT"));
    CHECK_THAT(given.env("WALGD_SOKET", "/x").error(), Contains("WALGD_SOKET"));
}

TEST_CASE("as wal-g, an unknown key in the file is a warning", "[config]") {
    Given given;
    given.file("something_else: 1\n");
    given.sources.walg_compatible = true;
    CHECK_THAT(given.load().warnings().front(), Contains("something_else"));
}

TEST_CASE("as wal-g, an unknown key may hold a map, and WAL-G's own maps change nothing", "[config]") {
    Given given;
    given.file("{\"something_else\": {\"a\": 1}, \"WALG_STATSD_EXTRA_TAGS\": {\"cluster\": \"main\"}}");
    CHECK_THAT(given.error(), Contains("something_else") && Contains("is not a setting"));
    given.sources.walg_compatible = true;
    CHECK_THAT(given.load().warnings().front(), Contains("something_else"));
    CHECK_THAT(Given().file("compression_method: {a: b}\n").error(), Contains("should be one value"));
}

TEST_CASE("WAL-G's file in the home folder is found whatever its ending, and one that is not understood is an error",
          "[config]") {
    test::TemporaryFolder home;
    Sources sources;
    sources.home = home.path();
    sources.host_file = home / "walgd.yaml";
    CHECK(Settings::load(sources).text("libsodium_key").empty());
    write_file_atomically(home / ".walg.env", bytes_of("WALG_LIBSODIUM_KEY=secret\n"), 0600);
    CHECK(Settings::load(sources).text("libsodium_key") == "secret");
    write_file_atomically(home / ".walg.toml", bytes_of("WALG_LIBSODIUM_KEY = \"secret\"\n"), 0600);
    CHECK_THAT(text_of_error([&] { Settings::load(sources); }), Contains(".walg.toml"));
    write_file_atomically(home / ".walg.json", bytes_of("{\"WALG_LIBSODIUM_KEY\": \"of json\"}"), 0600);
    CHECK(Settings::load(sources).text("libsodium_key") == "of json");
    CHECK(Settings::load(sources).warnings().empty());
    write_file_atomically(sources.host_file, bytes_of("libsodium_key: of the host\n"), 0600);
    CHECK(Settings::load(sources).text("libsodium_key") == "of the host");
    CHECK_THAT(Settings::load(sources).warnings().front(),
               Contains(".walg.json is passed over") && Contains("walgd.yaml goes before it"));
}

TEST_CASE("a settings file of the host's of which nobody can tell whether it is there has a warning", "[config]") {
    Sources sources;
    sources.host_file = std::string(300, 'x'); // ENAMETOOLONG; root may enter every folder
    CHECK_THAT(Settings::load(sources).warnings().front(), Contains("is passed over"));
}

TEST_CASE("a settings file that is named and cannot be looked at is named in the error", "[config]") {
    Sources sources;
    sources.config_file = std::string(300, 'x');
    CHECK_THAT(text_of_error([&] { Settings::load(sources); }), Contains("cannot read the configuration file xxx"));
}

TEST_CASE("a setting that a file gives twice has a warning, unless both say the same", "[config]") {
    const auto settings = Given().file("keep: {full: 7}\nkeep_full: 3\n").load();
    CHECK(settings.text("keep_full") == "3");
    CHECK_THAT(settings.warnings().front(), Contains("keep_full is given twice") && Contains("line 1") && Contains("line 2"));
    CHECK(Given().file("keep: {full: 7}\nkeep_full: 7\n").load().warnings().empty());
}

TEST_CASE("a session token that comes from elsewhere than its keys has a warning", "[config]") {
    Given given;
    given.file("aws_access_key_id: id\naws_secret_access_key: key\n").env("AWS_SESSION_TOKEN", "of a shell");
    CHECK_THAT(given.load().warnings().front(), Contains("AWS_SESSION_TOKEN") && Contains("does it belong to them?"));
    given.env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "key");
    CHECK(given.load().warnings().empty());
}

TEST_CASE("a lock on objects is refused, and what asks for none is not", "[config]") {
    for (const auto* name : {"S3_RETENTION_PERIOD", "WALG_S3_RETENTION_PERIOD"}) {
        CHECK_THAT(Given().env(name, "86400").error(), Contains(name) && Contains("this version cannot do"));
        CHECK(Given().env(name, "-1").load().warnings().empty());
        CHECK(Given().env(name, "0").load().warnings().empty());
    }
    CHECK_NOTHROW(Given().file("S3_RETENTION_PERIOD: -1\nS3_RETENTION_MODE: GOVERNANCE\n").load());
    CHECK_THAT(Given().file("S3_RETENTION_PERIOD: 60\n").error(), Contains("S3_RETENTION_PERIOD"));
    Given given;
    given.file("s3_prefix: s3://b/p\nfailover_storages: {a: {WALG_S3_PREFIX: \"s3://c/p\", S3_RETENTION_PERIOD: \"-1\"}}\n");
    CHECK(storage_settings(given.load()).size() == 2);
}

TEST_CASE("a key in gpg's key ring is an error, but where an OpenPGP key is given none that counts", "[config]") {
    for (const auto* name : {"WALE_GPG_KEY_ID", "WALG_GPG_KEY_ID", "GPG_KEY_ID"}) {
        CHECK_THAT(Given().env(name, "0xAB").error(), Contains(name) && Contains("this version cannot do"));
        Given given;
        given.file("pgp_key_path: /etc/key.asc\n").env(name, "0xAB");
        CHECK_THAT(given.load().warnings().front(), Contains(name) && Contains("passed over"));
    }
    CHECK_THAT(Given().file("WALE_GPG_KEY_ID: 0xAB\n").error(), Contains("WALE_GPG_KEY_ID") && Contains("walgd.yaml line 1"));
    CHECK_NOTHROW(Given().file("WALE_GPG_KEY_ID: 0xAB\n").env("WALG_PGP_KEY", "key").load());
}

TEST_CASE("an end of line behind a passphrase is none of it, as for WAL-G", "[config]") {
    Given given;
    given.env("WALG_PGP_KEY_PATH", WALGD_TEST_DATA "/pgp/keys/locked.sec.asc");
    CHECK(chosen_cipher(given.env("WALG_PGP_KEY_PASSPHRASE", "open sesame\r\n").load())->can_decrypt());
    CHECK_THROWS_AS(chosen_cipher(given.env("WALG_PGP_KEY_PASSPHRASE", "open sesame \n").load()), Error);
}

TEST_CASE("settings whose names begin alike may stand in a group", "[config]") {
    Given given;
    const auto settings = given.file("keep: {full: 7, days: 14}\nkeep_weekly: 4\n").load();
    CHECK(settings.number("keep_full") == 7);
    CHECK(settings.number("keep_days") == 14);
    CHECK(settings.number("keep_weekly") == 4);
    CHECK_FALSE(settings.given("keep_monthly"));
    CHECK_THAT(given.file("keep: {fulls: 7}\n").error(), Contains("keep_fulls") && Contains("did you mean keep_full?"));
    CHECK_THAT(given.file("keep: 7\n").error(), Contains("keep ("));
    CHECK_THAT(given.file("keep: {full: {a: 1}}\n").error(), Contains("keep_full") && Contains("list or a map"));
    CHECK_THAT(given.file("socket: {a: b}\n").error(), Contains("list or a map"));
}

TEST_CASE("a wrong value names setting, source and what is wanted", "[config]") {
    CHECK_THAT(Given().env("WALG_UPLOAD_CONCURRENCY", "many").error(),
               Contains("WALG_UPLOAD_CONCURRENCY") && Contains("many") && Contains("environment"));
    CHECK_THAT(Given().env("WALG_COMPRESSION_METHOD", "zip").error(), Contains("lz4, zstd, brotli, lzma, none"));
    CHECK_THAT(Given().env("WALG_COMPRESSION_METHOD", "ztsd").error(), Contains("did you mean zstd?"));
    CHECK_THAT(Given().env("WALG_COMPRESSION_METHOD", "gzip9").error(), !Contains("did you mean"));
    CHECK_THAT(Given().env("WALGD_DRAIN_TIMEOUT", "soon").error(), Contains("90s"));
    CHECK_THAT(Given().env("WALG_TAR_DISABLE_FSYNC", "perhaps").error(), Contains("true or false"));
    CHECK_THAT(Given().env("WALG_SENTINEL_USER_DATA", "{").error(), Contains("JSON"));
    CHECK_THAT(Given().file("socket: [a, b]\n").error(), Contains("socket"));
    CHECK_THAT(Given().file("- a\n- b\n").error(), Contains("walgd.yaml"));
    CHECK_THAT(Given().file("a: b: c\n").error(), Contains("line 1"));
}

TEST_CASE("a secret's value is in no message", "[config]") {
    // A key setting of a wrong type cannot be made here; what refuses it shows three stars.
    const auto settings = Given().env("WALG_LIBSODIUM_KEY", "0123").load();
    CHECK(settings.text("libsodium_key") == "0123");
    for (const auto& setting : settings_table()) {
        const bool named_like_one = setting.name.ends_with("_key") || setting.name.find("secret") != std::string_view::npos ||
                                    setting.name.find("password") != std::string_view::npos ||
                                    setting.name.find("passphrase") != std::string_view::npos || setting.name.ends_with("token");
        // A file's path is none, nor is whether a token is used.
        if (named_like_one && setting.type != Type::path && setting.type != Type::flag) CHECK(setting.secret);
    }
}

TEST_CASE("systemd's credentials go before the environment, and others' are nobody's", "[config]") {
    Sources sources;
    sources.environment["AWS_SECRET_ACCESS_KEY"] = "of the environment";
    sources.credentials = {{"aws_secret_access_key", "of a file"}, {"something_else", "x"}};
    const auto settings = Settings::load(sources);
    CHECK(settings.text("aws_secret_access_key") == "of a file");
    CHECK(settings.source("aws_secret_access_key") == "credential aws_secret_access_key");
}

TEST_CASE("a folder of credentials may be a Secret that Kubernetes mounts, with folders of its own", "[config]") {
    const test::TemporaryFolder folder;
    std::filesystem::create_directory(folder / "..2026_11_26");
    write_file_atomically(folder / "..2026_11_26/aws_secret_access_key", bytes_of("canary\n"), 0600);
    std::filesystem::create_directory_symlink("..2026_11_26", folder / "..data");
    std::filesystem::create_symlink("..data/aws_secret_access_key", folder / "aws_secret_access_key");
    const auto load = [](const std::string& path) {
        ::setenv("CREDENTIALS_DIRECTORY", path.c_str(), 1);
        const auto unset = std::shared_ptr<void>(nullptr, [](void*) { ::unsetenv("CREDENTIALS_DIRECTORY"); });
        return process_sources("", {}, false).credentials;
    };
    CHECK(load(folder.path()) == std::map<std::string, std::string>{{"aws_secret_access_key", "canary"}});
    CHECK_THAT(text_of_error([&] { load(folder / "absent"); }), Contains("cannot list") && Contains("absent"));
}

TEST_CASE("sizes and times are read as people write them", "[config]") {
    CHECK(parse_bytes("1073741823") == 1073741823);
    CHECK(parse_bytes("8MiB") == 8 << 20);
    CHECK(parse_bytes("1GiB") == 1 << 30);
    CHECK_FALSE(parse_bytes("8 bananas"));
    CHECK_FALSE(parse_bytes(""));
    CHECK_FALSE(parse_bytes("99999999999999999999"));
    CHECK(parse_duration("90s") == std::chrono::seconds(90));
    CHECK(parse_duration("1h30m") == std::chrono::minutes(90));
    CHECK(parse_duration("250ms") == std::chrono::milliseconds(250));
    CHECK_FALSE(parse_duration("1x"));
    for (const auto* no_clock_has_it : {"9999999h", "9223372036854775807", "infs", "nans"})
        CHECK_FALSE(parse_duration(no_clock_has_it));
    CHECK_FALSE(parse_duration(""));
}

TEST_CASE("names of settings are unique, every one has a help, and the reference page has them all", "[config]") {
    std::map<std::string_view, int> names;
    const auto page = reference_page();
    for (const auto& setting : settings_table()) {
        ++names[setting.name];
        ++names[setting.walg_name];
        for (const auto alias : setting.aliases) ++names[alias];
        CHECK_FALSE(setting.help.empty());
        CHECK_THAT(page, Contains(std::string(setting.walg_name)));
    }
    for (const auto& [name, count] : names) {
        INFO(name);
        CHECK(count == 1);
    }
    CHECK(read_text_file(WALGD_SOURCE "/config/REFERENCE.md") == page);
}

TEST_CASE("the shipped settings file is read without an error", "[config]") {
    Given given;
    given.file(read_text_file(WALGD_SOURCE "/config/walgd.yaml"));
    CHECK(given.load().text("compression_method") == "zstd");
}

} // namespace walgd::config
