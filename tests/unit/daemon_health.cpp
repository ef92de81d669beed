#include "daemon/health.hpp"

#include <catch2/catch.hpp>

using namespace walgd;
using namespace std::chrono_literals;

TEST_CASE("a WAL request that failed keeps readiness away for a while, however the wall clock is set", "[daemon]") {
    const auto now = std::chrono::steady_clock::now();
    daemon::WalCounters wal;
    const auto ready = [&](auto when) { return daemon::not_ready_because({}, wal, when).empty(); };
    CHECK(ready(now));
    wal.last_error_at = std::chrono::system_clock::now() + 24h; // the clock was set back since
    wal.error_moment = now;
    CHECK_FALSE(ready(now + 1min));
    CHECK(ready(now + daemon::failure_counts));
    wal.last_pushed_at = std::chrono::system_clock::now();
    wal.pushed_moment = now + 1s;
    CHECK(ready(now + 1min));
}
