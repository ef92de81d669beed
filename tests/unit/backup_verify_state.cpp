#include "common/backup/verify_state.hpp"
#include "common/base/time_text.hpp"

#include <catch2/catch.hpp>

using namespace walgd;
using namespace walgd::backup;

namespace {

const Time noon = *parse_time("2026-11-02T12:00:00Z");

std::string where_it_fails(const std::string& text) {
    try {
        parse_verify_state(text, "walgd_005/verify.json");
        return "";
    } catch (const Error& error) {
        return error.kind() == ErrorKind::corrupt ? error.what() : "another kind";
    }
}

} // namespace

TEST_CASE("a verify's state tells which objects were read, those of one time by their names", "[backup]") {
    const VerifyState state{.until = noon, .key = "wal_005/b", .damaged = {{"wal_005/a", "it has \"no\" bytes"}}};
    const auto read = parse_verify_state(to_json(state), "walgd_005/verify.json");
    CHECK(read.until == noon);
    REQUIRE(read.damaged.size() == 1);
    CHECK(read.damaged[0].object == "wal_005/a");
    CHECK(read.damaged[0].cause == "it has \"no\" bytes");
    CHECK(read.covers(storage::ObjectKey("wal_005/z"), noon - std::chrono::seconds(1)));
    CHECK(read.covers(storage::ObjectKey("wal_005/b"), noon));
    CHECK_FALSE(read.covers(storage::ObjectKey("wal_005/c"), noon));
    CHECK_FALSE(read.covers(storage::ObjectKey("wal_005/a"), noon + std::chrono::nanoseconds(1)));
}

TEST_CASE("a state stays small, whatever the damage", "[backup]") {
    VerifyState state{.until = noon, .key = {}, .damaged = {}};
    std::string many;
    for (int block = 0; block < 100'000; ++block) many += "\xC3\xA4";
    for (int object = 0; object < 5'000; ++object) state.damaged.push_back({"wal_005/x", "x" + many});
    const auto text = to_json(state);
    CHECK(text.size() < 1'000'000);
    CHECK(to_json(parse_verify_state(text, "walgd_005/verify.json")) == text);
}

TEST_CASE("a state of an earlier release names a time alone: all until then was read", "[backup]") {
    const auto state = parse_verify_state(R"({"checked_until":"2026-11-02T12:00:00Z"})", "walgd_005/verify.json");
    CHECK(state.covers(storage::ObjectKey("wal_005/z"), noon));
    CHECK(state.damaged.empty());
}

TEST_CASE("what is no state of a verify is an error that names the object", "[backup]") {
    for (const auto* text : {"", "[]", "{}", R"({"checked_until":5})", R"({"checked_until":"noon"})",
                             R"({"checked_until":"2026-11-02T12:00:00Z","damaged":[{"object":1,"cause":"x"}]})",
                             R"({"checked_until":"2026-11-02T12:00:00Z","damaged":["x"]})"})
        CHECK(where_it_fails(text).find("walgd_005/verify.json") != std::string::npos);
}
