#include "common/base/files.hpp"
#include "common/base/in_quotes.hpp"
#include "common/base/log.hpp"
#include "common/base/log_line.hpp"
#include "common/base/log_repeats.hpp"
#include "common/base/request_id.hpp"
#include "tests/unit/async_support.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/details/log_msg.h>

namespace walgd {

using test::Loop;

namespace {

using Level = spdlog::level::level_enum;
const LogRepeats::Time noon{std::chrono::sys_days(std::chrono::year(2026) / 11 / 25) + std::chrono::hours(12)};

std::string formatted(LineLook look, Level level, std::string_view text) {
    spdlog::memory_buf_t out;
    line_formatter(look)->format(spdlog::details::log_msg(noon, {}, {}, level, {text.data(), text.size()}), out);
    return {out.data(), out.size()};
}

awaitable<void> note(std::vector<std::string>& seen) {
    seen.push_back(current_request());
    co_return;
}

/// All the ways by which work is handed on.
awaitable<void> work(asio::thread_pool& pool, std::vector<std::string>& seen) {
    seen.push_back(current_request());
    co_await sleep_for(std::chrono::milliseconds(1));
    seen.push_back(current_request());
    co_await within(std::chrono::hours(1), note(seen), "late");
    auto on_pool = [] { return current_request(); };
    const auto there = co_await run_on(pool.get_executor(), std::move(on_pool));
    seen.push_back(there);
    const auto io = co_await asio::this_coro::executor;
    TaskGroup children(io, [](const std::exception_ptr&) {});
    children.spawn(note(seen));
    co_await children.join();
    seen.push_back(current_request());
}

awaitable<void> failing() {
    co_await sleep_for(std::chrono::milliseconds(1));
    throw Error(ErrorKind::failed, current_request());
}

} // namespace

TEST_CASE("whatever a request's work is handed to knows the request, and what comes after does not", "[base]") {
    Loop loop;
    asio::thread_pool pool(1);
    std::vector<std::string> seen;
    std::string failure;
    auto story = [&]() -> awaitable<void> {
        const std::string one("7f3a-1");
        auto working = work(pool, seen);
        co_await as_request(one, std::move(working));
        seen.push_back(current_request());
        try {
            auto broken = failing();
            co_await as_request("7f3a-2", std::move(broken));
        } catch (const Error& error) {
            failure = error.what();
        }
        seen.push_back(current_request());
    };
    loop.run(story());
    CHECK(seen == std::vector<std::string>{"7f3a-1", "7f3a-1", "7f3a-1", "7f3a-1", "7f3a-1", "7f3a-1", "", ""});
    CHECK(failure == "7f3a-2");
}

TEST_CASE("requests that take turns on one thread keep their names", "[base]") {
    Loop loop;
    std::vector<std::string> wrong;
    auto worker = [&](std::string name) -> awaitable<void> {
        for (int turn = 0; turn < 50; ++turn) {
            co_await sleep_for(std::chrono::microseconds(10));
            if (current_request() != name) wrong.push_back(current_request());
        }
    };
    auto story = [&]() -> awaitable<void> {
        const auto io = co_await asio::this_coro::executor;
        TaskGroup group(io, [](const std::exception_ptr&) {});
        for (const std::string name : {"a", "b", "c"}) {
            auto working = worker(name);
            group.spawn(as_request(name, std::move(working)));
        }
        group.spawn(worker(""));
        co_await group.join();
    };
    loop.run(story());
    CHECK(wrong.empty());
}

TEST_CASE("a line of the log has time, level, event and request", "[base]") {
    CHECK(formatted({}, Level::info, "event=wal_pushed bytes=7") == "2026-11-25T12:00:00.000Z info event=wal_pushed bytes=7\n");
    const std::string id("7f3a-17");
    const RequestScope scope(id);
    CHECK(formatted({}, Level::warn, "event=retry") == "2026-11-25T12:00:00.000Z warning event=retry request=7f3a-17\n");
    CHECK(formatted({.json = true}, Level::warn, "event=retry attempt=2") ==
          R"({"time":"2026-11-25T12:00:00.000Z","level":"warning","event":"retry","attempt":2,"request":"7f3a-17"})"
          "\n");
}

TEST_CASE("the journal gets the priority, and has the time itself", "[base]") {
    CHECK(formatted({.journal = true}, Level::err, "event=x") == "<3>error event=x\n");
    CHECK(formatted({.journal = true}, Level::warn, "event=x") == "<4>warning event=x\n");
    CHECK(formatted({.journal = true}, Level::info, "event=x") == "<6>info event=x\n");
    CHECK(formatted({.journal = true}, Level::debug, "event=x") == "<7>debug event=x\n");
    CHECK(formatted({.json = true, .journal = true}, Level::err, "event=x").starts_with("<3>{\"time\":"));
}

TEST_CASE("a line is one line, also with a line break in a file's name", "[base]") {
    CHECK(formatted({}, Level::info, "odd\nname") == "2026-11-25T12:00:00.000Z info odd\\x0aname\n");
}

TEST_CASE("bytes that are no UTF-8 come through a line as they were", "[base]") {
    const std::string text("\xfcvent\x98GmLSetA3\xa1\xf5\xb3\xac\x9a\x8b\xbe\xce");
    const auto fields = fields_of_line(fmt::format("event=x error={} ms=3", in_quotes(text)));
    REQUIRE(fields.size() == 3);
    CHECK(fields[1].second == text);
    CHECK(nlohmann::json::parse(formatted({.json = true}, Level::err, fmt::format("event=x error={}", in_quotes(text))))
              .contains("error"));
}

TEST_CASE("any text comes through JSON as it was, and cannot make a field of its own", "[base]") {
    for (const std::string text :
         {"plain", "two words", "a \"quoted\" word", "\" level=\"forged", "back\\slash\\", "a\nb\tc", ""}) {
        const auto line = formatted({.json = true}, Level::err, fmt::format("event=x error={} ms=3", in_quotes(text)));
        const auto json = nlohmann::json::parse(line);
        CHECK(json.at("error") == text);
        CHECK(json.at("ms") == 3);
        CHECK(json.at("level") == "error");
        CHECK(json.size() == 5);
    }
    CHECK(nlohmann::json::parse(formatted({.json = true}, Level::info, "no event \xff")).at("text") == "no event \xEF\xBF\xBD");
}

TEST_CASE("the fields of a line are read as they were written", "[base]") {
    using Fields = std::vector<std::pair<std::string, std::string>>;
    CHECK(fields_of_line("event=a storage=s3://b/c d key=1") == Fields{{"event", "a"}, {"storage", "s3://b/c d"}, {"key", "1"}});
    CHECK(fields_of_line("event=a segment= ms=1") == Fields{{"event", "a"}, {"segment", ""}, {"ms", "1"}});
    CHECK(fields_of_line("waiting for x=1") == Fields{{"text", "waiting for x=1"}});
    CHECK(fields_of_line("event=a text=\"cut") == Fields{{"event", "a"}, {"text", "cut"}});
    const auto json = nlohmann::json::parse(
        formatted({.json = true}, Level::info, "event=a segment=000000010000000000000002 timeline=1 open=true n=0"));
    CHECK(json.at("segment") == "000000010000000000000002");
    CHECK(json.at("timeline") == 1);
    CHECK(json.at("open") == true);
    CHECK(json.at("n") == 0);
}

TEST_CASE("what comes again and again is told once and then counted", "[base]") {
    LogRepeats repeats;
    CHECK(repeats.tell(Level::warn, "event=retry attempt=1 what=\"put A3\"", noon));
    for (int attempt = 2; attempt <= 413; ++attempt)
        CHECK_FALSE(repeats.tell(Level::warn, fmt::format("event=retry attempt={} what=\"put A{}\"", attempt, attempt), noon));
    CHECK(repeats.due(noon + LogRepeats::window - std::chrono::seconds(1)).empty());
    const auto counts = repeats.due(noon + LogRepeats::window);
    REQUIRE(counts.size() == 1);
    CHECK(counts[0].text == R"(event=repeated more=412 seconds=60 like="event=retry attempt=1 what=\"put A3\"")");
    CHECK(counts[0].level == Level::warn);
    CHECK(repeats.tell(Level::warn, "event=retry attempt=414 what=\"put A3\"", noon + LogRepeats::window)); // told anew
    CHECK(repeats.due(noon + 3 * LogRepeats::window).empty()); // and nothing was like it
}

TEST_CASE("errors that name different things are all told", "[base]") {
    LogRepeats repeats;
    CHECK(repeats.tell(Level::err, "event=wal_push_failed segment=A3", noon));
    CHECK(repeats.tell(Level::err, "event=wal_push_failed segment=A4", noon));
    CHECK_FALSE(repeats.tell(Level::err, "event=wal_push_failed segment=A3", noon));
    CHECK(repeats.due(noon, true).size() == 1);
}

TEST_CASE("each time that the storage begins to fail is told, as its end is", "[base]") {
    LogRepeats repeats;
    for (int time = 0; time < 2; ++time) CHECK(repeats.tell(Level::warn, "event=storage_failing error=\"no answer\"", noon));
    CHECK(repeats.due(noon, true).empty());
}

TEST_CASE("what is no trouble is always told", "[base]") {
    LogRepeats repeats;
    for (int time = 0; time < 3; ++time) CHECK(repeats.tell(Level::info, "event=wal_pushed", noon));
    CHECK(repeats.due(noon, true).empty());
}

TEST_CASE("a clock that is set back ends the counting", "[base]") {
    LogRepeats repeats;
    CHECK(repeats.tell(Level::err, "x", noon));
    CHECK_FALSE(repeats.tell(Level::err, "x", noon));
    CHECK(repeats.due(noon - std::chrono::hours(1)).size() == 1);
    CHECK(repeats.tell(Level::err, "x", noon - std::chrono::hours(1)));
}

TEST_CASE("a log file that cannot be opened anew goes on to be written where it is", "[base]") {
    const test::TemporaryFolder folder;
    const std::string path = folder / "log", moved = folder / "log.1";
    const auto log = make_log(LogStyle::daemon, Level::info, path);
    log->info("event=first");
    std::filesystem::rename(path, moved);
    std::filesystem::create_directory(path);
    CHECK_THROWS(reopen(*log));
    log->info("event=second");
    log->flush();
    CHECK_THAT(read_text_file(moved), Catch::Contains("event=first") && Catch::Contains("event=second"));
    std::filesystem::remove(path);
    reopen(*log);
    log->info("event=third");
    log->flush();
    CHECK_THAT(read_text_file(path), Catch::Contains("event=third") && !Catch::Contains("event=second"));
}

} // namespace walgd
