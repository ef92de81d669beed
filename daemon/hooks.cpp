#include "daemon/hooks.hpp"

#include "common/base/child_process.hpp"
#include "common/base/in_quotes.hpp"
#include "common/base/time_text.hpp"
#include "common/storage/s3/http.hpp"
#include "daemon/health.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>
#include <vector>

namespace walgd::daemon {

namespace {

constexpr std::size_t waiting_max = 64;

struct Url {
    storage::HttpServer server;
    std::string path;
};

Url parse_url(const std::string& text) {
    const auto scheme_end = text.find("://");
    if (!text.starts_with("http://") && !text.starts_with("https://"))
        throw Error(ErrorKind::misconfigured, "hook_url is no URL", "it begins with http:// or https://");
    const auto slash = std::min(text.find('/', scheme_end + 3), text.size());
    return {storage::parse_endpoint(text.substr(0, slash), "hook_url"), slash == text.size() ? "/" : text.substr(slash)};
}

/// Where programs are, and where they have their own settings.
std::vector<std::string> environment_of_hook() {
    const char *path = ::getenv("PATH"), *home = ::getenv("HOME");
    std::vector<std::string> lines{fmt::format("PATH={}", path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path)};
    if (home != nullptr) lines.push_back(fmt::format("HOME={}", home));
    return lines;
}

} // namespace

Hooks::Hooks(asio::any_io_executor io, Log& log, Options options) : io_(io), log_(log), options_(std::move(options)), more_(io) {
    if (!options_.command.empty() && ::access(options_.command.c_str(), X_OK) != 0)
        throw Error(ErrorKind::misconfigured, fmt::format("hook_command is {}, which cannot be run", options_.command),
                    "the path of a program; its arguments are walgd's, and no shell reads it");
    if (options_.url.empty()) return;
    parse_url(options_.url);
    transport_ = storage::make_transport({.ca_file = options_.ca_file, .connections_max = 2, .proxies = options_.proxies}, io);
}

Hooks::~Hooks() = default;

void Hooks::notify(const std::string& event, nlohmann::ordered_json details) {
    if (options_.command.empty() && options_.url.empty()) return;
    details["event"] = event;
    details["at"] = time_or_dash(std::chrono::system_clock::now());
    if (waiting_.size() == waiting_max) waiting_.pop_front();
    waiting_.emplace_back(event, details.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    more_.notify();
}

awaitable<void> Hooks::run() {
    for (;;) {
        while (waiting_.empty()) {
            co_await more_.wait();
        }
        const auto [event, json] = std::move(waiting_.front());
        waiting_.pop_front();
        co_await tell(event, json);
    }
}

awaitable<void> Hooks::tell(std::string event, std::string json) {
    std::exception_ptr failures[2];
    const auto late = fmt::format("it took longer than {} s", options_.timeout.count() / 1000);
    if (!options_.command.empty()) {
        try {
            co_await within(options_.timeout, run_program(event, json), late);
        } catch (...) {
            failures[0] = std::current_exception();
        }
    }
    if (transport_) {
        try {
            co_await within(options_.timeout, post(json), late);
        } catch (...) {
            failures[1] = std::current_exception();
        }
    }
    for (const auto& failure : failures) {
        if (!failure) continue;
        if (as_error(failure).kind() == ErrorKind::cancelled) std::rethrow_exception(failure);
        log_.error("event=hook_failed what={} of={} error={}", &failure == failures ? options_.command : "hook_url", event,
                   in_quotes(describe(failure)));
    }
}

awaitable<void> Hooks::run_program(std::string event, std::string json) {
    const auto input = file_in_memory(json);
    ChildProcess program{{options_.command, std::move(event)}, environment_of_hook(), input.get()};
    co_await run_child(std::move(program));
}

awaitable<void> Hooks::post(std::string json) {
    const auto url = parse_url(options_.url);
    storage::HttpRequest request;
    request.method = "POST";
    request.path = url.path;
    request.headers = {{"content-type", "application/json"}, {"user-agent", "walgd/" WALGD_VERSION}};
    request.body = bytes_of(json);
    const auto answer = co_await transport_->open(url.server, std::move(request));
    const auto status = answer->head().status;
    co_await storage::read_text(*answer, 64 << 10);
    if (status < 200 || status > 299) throw Error(ErrorKind::failed, fmt::format("it answered HTTP {}", status));
}

awaitable<void> watch_lag(const WalService& wal, Hooks& hooks, std::chrono::milliseconds limit) {
    bool told = false;
    auto good_at = std::chrono::steady_clock::now();
    for (;;) {
        co_await sleep_for(std::chrono::seconds(1));
        const auto& counters = wal.counters();
        const auto now = std::chrono::steady_clock::now();
        const bool failed =
            counters.push_failed_moment > counters.pushed_moment && now - counters.push_failed_moment < failure_counts;
        const bool waits = wal.queue().backlog() > 0 || wal.pushes_under_way() > 0 || failed;
        if (!waits) good_at = now;
        good_at = std::max(good_at, counters.pushed_moment);
        const bool lags = now - good_at > limit;
        if (lags == told) continue;
        told = lags;
        const auto since = std::chrono::system_clock::now() - (now - good_at);
        hooks.notify(lags ? "archive_lag" : "archive_caught_up", {{"since", time_or_dash(since)},
                                                                  {"files_waiting", wal.queue().backlog()},
                                                                  {"last_stored", counters.last_pushed},
                                                                  {"last_error", counters.last_error}});
    }
}

} // namespace walgd::daemon
