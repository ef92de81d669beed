#include "daemon/http/pages.hpp"

#include "daemon/health.hpp"
#include "daemon/http/archive_json.hpp"
#include "daemon/http/metrics.hpp"

#include <nlohmann/json.hpp>

namespace walgd::daemon {

namespace {

constexpr const char *json_type = "application/json", *text_type = "text/plain; charset=utf-8";

std::vector<std::string> reasons_of(const StatusSources& sources) {
    if (sources.archive.health == nullptr) return {};
    return not_ready_because(sources.archive.health->report(), sources.wal.counters(), std::chrono::steady_clock::now());
}

std::string lines_of(const std::vector<std::string>& lines) {
    std::string text;
    for (const auto& line : lines) text += line + "\n";
    return text;
}

} // namespace

PageAnswer Pages::ready() const {
    const auto reasons = reasons_of(sources_());
    if (reasons.empty()) return {200, text_type, "ok\n"};
    return {503, text_type, lines_of(reasons)};
}

awaitable<PageAnswer> Pages::answer(PageQuestion question) {
    if (!PageActions::is_action(question.path)) co_return read(question);
    if (question.method != "POST") co_return PageAnswer{405, text_type, "POST does this\n"};
    auto done = co_await actions_.perform(question.path);
    co_return done;
}

PageAnswer Pages::read(const PageQuestion& question) {
    const auto& path = question.path;
    if (question.method != "GET" && question.method != "HEAD") return {405, text_type, "this is for reading\n"};
    if (path == "/metrics") return {200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(sources_(), backups_)};
    if (path == "/livez") return {200, text_type, "ok\n"};
    if (path == "/readyz" || path == "/healthz") return ready();
    if (path == "/status") return {200, json_type, status_text(sources_(), true) + "\n"};
    if (path == "/") return {200, "text/html; charset=utf-8", std::string(page_html())};
    return {404, text_type, "walgd has /, /status, /metrics, /livez and /readyz\n"};
}

std::string Pages::event() const {
    const auto sources = sources_();
    const auto reasons = reasons_of(sources);
    const nlohmann::ordered_json event{{"status", nlohmann::ordered_json::parse(status_text(sources, true))},
                                       {"archive", archive_json(sources.archive_watch.view())},
                                       {"verify", actions_.verify_json()},
                                       {"ready", reasons.empty()},
                                       {"reasons", reasons}};
    return event.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

} // namespace walgd::daemon
