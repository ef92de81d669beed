#include "common/backup/push/intent.hpp"

#include <catch2/catch.hpp>

using namespace walgd;
using backup::Intent;

TEST_CASE("a backup is a leftover only when no other server of that name and place can be taking it", "[backup]") {
    const Intent own{.backup = {}, .host = "postgres", .data_dir = "/data", .server = {.started = 1000, .seen = 2000}};
    auto of = [&](pg::ServerLife server) {
        auto intent = own;
        intent.server = server;
        return intent;
    };
    CHECK(is_leftover(of({1000, 1500}), own));
    CHECK(is_leftover(of({200, 900}), own)); // before the last restart
    CHECK(is_leftover(of({0, 0}), own));     // of an older release
    CHECK_FALSE(is_leftover(of({200, 1500}), own));
    CHECK_FALSE(is_leftover(of({1100, 1500}), own));
    auto elsewhere = of({1000, 1500});
    elsewhere.host = "other";
    CHECK_FALSE(is_leftover(elsewhere, own));
    elsewhere = of({1000, 1500});
    elsewhere.data_dir = "/other";
    CHECK_FALSE(is_leftover(elsewhere, own));
}
