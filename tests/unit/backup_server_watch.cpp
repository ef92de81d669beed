#include "common/backup/push/server_watch.hpp"

#include "tests/unit/async_support.hpp"

#include <atomic>
#include <future>

namespace walgd::backup {

namespace {

/// A server that is only asked whether it is alive.
struct QuietServer : pg::Server {
    std::atomic<bool> lost = false;
    std::promise<void> asked;
    bool told = false;

    void check_alive() override {
        if (!std::exchange(told, true)) asked.set_value();
        if (lost) throw Error(ErrorKind::transient, "the connection is lost");
    }
    pg::ServerFacts facts() override { return {}; }
    std::vector<pg::Tablespace> tablespaces() override { return {}; }
    pg::BackupStart start_backup(const std::string&) override { return {}; }
    pg::BackupStop stop_backup() override { return {}; }
    std::string value(const std::string&) override { return {}; }
    std::vector<std::vector<std::string>> rows(const std::string&) override { return {}; }
    void each_row(const std::string&, const std::function<void(const std::vector<std::string>&)>&) override {}
};

constexpr std::chrono::milliseconds often{1};

} // namespace

TEST_CASE("a copy is stopped when the server that began it is lost, and its end says why", "[backup]") {
    QuietServer server;
    server.lost = true;
    ServerWatch watch(server, {}, often);
    std::promise<void> stopped;
    const std::stop_callback on_stop(watch.token(), [&stopped] { stopped.set_value(); });
    stopped.get_future().wait();
    CHECK_THAT(test::text_of_error([&] { watch.end(); }), Catch::StartsWith("the connection is lost"));
}

TEST_CASE("a server that is there stops nothing; the job's own stop is passed on", "[backup]") {
    QuietServer server;
    std::stop_source job;
    ServerWatch watch(server, job.get_token(), often);
    server.asked.get_future().wait();
    CHECK_FALSE(watch.token().stop_requested());
    job.request_stop();
    CHECK(watch.token().stop_requested());
    CHECK_NOTHROW(watch.end());
}

TEST_CASE("a watch ends at once, however seldom it looks", "[backup]") {
    QuietServer server;
    ServerWatch watch(server, {}, std::chrono::hours(1));
    CHECK_NOTHROW(watch.end());
    CHECK_FALSE(server.told);
}

} // namespace walgd::backup
