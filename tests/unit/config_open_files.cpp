#include "common/base/files.hpp"
#include "common/base/wipe.hpp"
#include "config/open_files.hpp"
#include "tests/unit/async_support.hpp"

#include <sys/stat.h>

namespace walgd::config {

using Catch::Contains;
using test::text_of_error;

namespace {

/// A folder that everyone can enter.
struct Open {
    test::TemporaryFolder folder;
    Open() { ::chmod(folder.path().c_str(), 0755); }
    std::string file(const std::string& name, const std::string& text, mode_t mode) const {
        write_file_atomically(folder / name, bytes_of(text), mode);
        ::chmod((folder / name).c_str(), mode);
        return folder / name;
    }
    static Settings load(const std::string& config, bool daemon) {
        Sources sources;
        sources.config_file = config;
        sources.daemon = daemon;
        return Settings::load(sources);
    }
};

} // namespace

TEST_CASE("a file is open to everyone where the folders above it are too", "[config]") {
    const Open open;
    const auto file = open.file("x", "text", 0644);
    CHECK(open_to_everyone(file));
    ::chmod(open.folder.path().c_str(), 0750);
    CHECK_FALSE(open_to_everyone(file));
    ::chmod(open.folder.path().c_str(), 0755);
    ::chmod(file.c_str(), 0640);
    CHECK_FALSE(open_to_everyone(file));
    CHECK_FALSE(open_to_everyone(open.folder / "nothing"));
}

TEST_CASE("the daemon refuses its own open file with a secret, and walg goes on with a warning", "[config]") {
    const Open open;
    const auto file = open.file("walgd.yaml", "http_token: canary\n", 0644);
    CHECK_THAT(text_of_error([&] { Open::load(file, true); }), Contains("holds http_token") && Contains("chmod 640 " + file));
    CHECK_THAT(Open::load(file, false).warnings().at(0), Contains("holds http_token and can be read by everyone"));
    open.file("walgd.yaml", "compression_method: zstd\n", 0644);
    CHECK(Open::load(file, true).warnings().empty()); // no secret, no matter
}

TEST_CASE("WAL-G's open files go on with a warning, which names no secret", "[config]") {
    const Open open;
    const auto file = open.file("env.json", R"({"PGPASSWORD": "canary"})", 0644);
    const auto warnings = Open::load(file, true).warnings();
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], Contains("holds pgpassword") && !Contains("canary"));
}

TEST_CASE("an open key is refused, and a public one is not", "[config]") {
    const Open open;
    const auto key = open.file("key", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n", 0644);
    const auto file = open.file("walgd.yaml", "pgp_key_path: " + key + "\n", 0644);
    CHECK_THAT(text_of_error([&] { Open::load(file, true); }), Contains(key + " holds the key of pgp_key_path"));
    open.file("key", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", 0644);
    CHECK(Open::load(file, true).warnings().empty());
    open.file("walgd.yaml", "http_tls_key: " + key + "\n", 0644);
    CHECK_THAT(text_of_error([&] { Open::load(file, true); }), Contains("http_tls_key"));
}

TEST_CASE("nothing of a wiped text stays", "[base]") {
    for (const std::size_t size : {std::size_t{8}, std::size_t{500}}) {
        std::string text(size, 's');
        const auto* place = text.data();
        text.resize(size / 2);
        wipe(text);
        CHECK(text.empty());
        CHECK(std::all_of(place, place + size, [](char c) { return c == '\0'; }));
    }
}

TEST_CASE("a secret file is read whole, and none that is too large", "[base]") {
    const Open open;
    CHECK(read_secret_file(open.file("a", "key\n", 0600)) == "key\n");
    CHECK(read_secret_file(open.file("b", std::string(1 << 20, 'x'), 0600)).size() == 1 << 20);
    CHECK_THAT(text_of_error([&] { read_secret_file(open.file("c", std::string((1 << 20) + 1, 'x'), 0600)); }),
               Contains("larger than"));
}

} // namespace walgd::config
