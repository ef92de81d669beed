#include "daemon/reload.hpp"

#include <catch2/catch.hpp>

using namespace walgd;
using walgd::config::Settings;
using walgd::config::Sources;

namespace {

Settings settings_of(std::map<std::string, std::string> environment) {
    Sources sources;
    sources.environment = std::move(environment);
    return Settings::load(sources);
}

} // namespace

TEST_CASE("a reload puts in force what it can, and names what waits for a restart", "[daemon]") {
    const auto log = silent_log();
    auto settings = settings_of({{"WALG_DELTA_MAX_STEPS", "1"}, {"WALG_UPLOAD_CONCURRENCY", "4"}});
    const auto said = daemon::reload(
        settings,
        [] {
            return settings_of({{"WALG_DELTA_MAX_STEPS", "5"}, {"WALG_UPLOAD_CONCURRENCY", "8"}, {"WALG_LOG_LEVEL", "DEVEL"}});
        },
        *log);
    CHECK(settings.number("delta_max_steps") == 5);
    CHECK(settings.number("upload_concurrency") == 4);
    CHECK(log->level() == spdlog::level::debug);
    CHECK(said == "in force now: delta_max_steps, log_level; needs a restart: upload_concurrency");
}

TEST_CASE("a reload of wrong settings changes nothing", "[daemon]") {
    const auto log = silent_log();
    auto settings = settings_of({{"WALG_DELTA_MAX_STEPS", "1"}});
    CHECK_THROWS_AS(daemon::reload(settings, [] { return settings_of({{"WALG_DELTA_MAX_STEPS", "many"}}); }, *log), Error);
    CHECK(settings.number("delta_max_steps") == 1);
}
