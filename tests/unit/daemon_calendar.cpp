#include "common/base/error.hpp"
#include "daemon/schedule/calendar.hpp"

#include "common/base/time_text.hpp"

#include <catch2/catch.hpp>

using namespace walgd;
using walgd::daemon::Calendar;

namespace {

Calendar::Time at(const char* text) { return std::chrono::floor<std::chrono::seconds>(parse_time(text).value()); }

std::string next(const char* expression, const char* after, const char* zone = "UTC") {
    const auto due = Calendar(expression, zone).next_after(at(after));
    return due ? format_time(*due) : "never";
}

} // namespace

TEST_CASE("a calendar expression names the next due time", "[daemon]") {
    CHECK(next("30 2 * * *", "2026-03-01T00:00:00Z") == "2026-03-01T02:30:00Z");
    CHECK(next("30 2 * * *", "2026-03-01T02:30:00Z") == "2026-03-02T02:30:00Z");
    CHECK(next("*/20 9-10 * * mon-fri", "2026-02-27T10:41:00Z") == "2026-03-02T09:00:00Z");
    CHECK(next("0 3 * * 7", "2026-03-01T03:00:00Z") == "2026-03-08T03:00:00Z");
    CHECK(next("0 0 29 feb *", "2026-03-01T00:00:00Z") == "2028-02-29T00:00:00Z");
    CHECK(next("0 0 30 2 *", "2026-03-01T00:00:00Z") == "never");
    CHECK(next("5/15 * * * *", "2026-03-01T00:36:00Z") == "2026-03-01T00:50:00Z");
    CHECK(next("@weekly", "2026-03-03T00:00:00Z") == "2026-03-08T00:00:00Z");
    CHECK(next("@monthly", "2026-12-03T00:00:00Z") == "2027-01-01T00:00:00Z");
    CHECK(next("30\t2\t*\t*  *\n", "2026-03-01T00:00:00Z") == "2026-03-01T02:30:00Z");
    CHECK(next(" @weekly\n", "2026-03-03T00:00:00Z") == "2026-03-08T00:00:00Z");
}

TEST_CASE("a day of the month and a day of the week are alternatives", "[daemon]") {
    CHECK(next("0 0 13 * fri", "2026-03-01T00:00:00Z") == "2026-03-06T00:00:00Z");
    CHECK(next("0 0 13 * fri", "2026-03-10T00:00:00Z") == "2026-03-13T00:00:00Z");
    CHECK(next("0 0 13 * fri", "2026-04-10T01:00:00Z") == "2026-04-13T00:00:00Z");
}

TEST_CASE("a due time that the clocks skip comes when they go on, and one that comes twice comes once", "[daemon]") {
    // Berlin: 2026-03-29 02:00 becomes 03:00, 2026-10-25 03:00 becomes 02:00.
    CHECK(next("30 2 * * *", "2026-03-28T12:00:00Z", "Europe/Berlin") == "2026-03-29T01:00:00Z");
    CHECK(next("30 2 * * *", "2026-03-29T01:00:00Z", "Europe/Berlin") == "2026-03-30T00:30:00Z");
    CHECK(next("30 2 * * *", "2026-10-24T12:00:00Z", "Europe/Berlin") == "2026-10-25T00:30:00Z");
    CHECK(next("30 2 * * *", "2026-10-25T00:30:00Z", "Europe/Berlin") == "2026-10-26T01:30:00Z");
    CHECK(next("30 2 * * *", "2026-07-01T00:00:00Z", "Europe/Berlin") == "2026-07-01T00:30:00Z");
}

TEST_CASE("the last due time is found however long ago it was", "[daemon]") {
    CHECK(Calendar("0 3 * * *", "UTC").last_until(at("2026-03-02T03:00:00Z")) == at("2026-03-02T03:00:00Z"));
    CHECK(Calendar("0 3 * * *", "UTC").last_until(at("2026-03-02T02:59:59Z")) == at("2026-03-01T03:00:00Z"));
    CHECK(Calendar("@yearly", "UTC").last_until(at("2026-12-31T00:00:00Z")) == at("2026-01-01T00:00:00Z"));
    CHECK(Calendar("0 0 30 2 *", "UTC").last_until(at("2026-12-31T00:00:00Z")) == std::nullopt);
}

TEST_CASE("an expression that means nothing is an error that names the field", "[daemon]") {
    for (const auto* wrong : {"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
                              "5-3 * * * *", "*/0 * * * *", "a * * * *", "1, * * * *", "-1 * * * *", "* * * foo *", "@often"}) {
        CHECK_THROWS_AS(Calendar(wrong, "UTC"), Error);
    }
    CHECK_THROWS_WITH(Calendar("* 24 * * *", "UTC"), Catch::Contains("'24' is no hour"));
    CHECK_THROWS_WITH(Calendar("@daily", "Europe/Atlantis"), Catch::Contains("Europe/Atlantis"));
}
