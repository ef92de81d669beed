#include "daemon/daemon_settings.hpp"

#include <catch2/catch.hpp>

using namespace walgd;
using namespace walgd::daemon;

namespace {

std::string why_not(const proto::BackupRequest& request) {
    config::Sources sources;
    sources.environment = {{"PGHOST", "/run/postgresql"}};
    return backup_elsewhere(config::Settings::load(sources), {"s3://bucket/here", "libsodium"}, request);
}

} // namespace

TEST_CASE("a backup is another's when its archive, server or encryption is", "[daemon]") {
    CHECK(why_not({}).empty());
    proto::BackupRequest own;
    own.place = "s3://bucket/here";
    own.pghost = "/run/postgresql";
    own.encryption = "libsodium";
    CHECK(why_not(own).empty());
    auto request = own;
    request.place = "s3://bucket/there";
    CHECK(why_not(request) == "it keeps another archive: s3://bucket/here");
    request = own;
    request.pghost = "db.example.net";
    CHECK(why_not(request) == "its server is another one: its pghost is /run/postgresql");
    request = own;
    request.pgport = "5433";
    CHECK(why_not(request) == "its server is another one: its pgport is not set");
    request = own;
    request.encryption = "openpgp";
    CHECK(why_not(request) == "its encryption is another one: libsodium");
    request = own;
    request.settings = "compression_method=lz4\ndelta_max_steps=0\n";
    CHECK(why_not(request).empty());
    request.settings = "compression_method=lz4\ndelta_max_steps=6\n";
    CHECK(why_not(request) == "its delta_max_steps is 0");
}
