#pragma once
#include "daemon/http/archive_metrics.hpp"
#include "daemon/http/http_server.hpp"
#include "daemon/http/page_actions.hpp"
#include "daemon/status.hpp"

#include <functional>

namespace walgd::daemon {

/// What the HTTP server answers: /metrics, /livez, /readyz, /status, the page at /, and what the page may start.
class Pages {
public:
    using Sources = std::function<StatusSources()>;
    /// `actions` lives longer.
    Pages(Sources sources, PageActions& actions) : sources_(std::move(sources)), actions_(actions) {}

    awaitable<PageAnswer> answer(PageQuestion question);
    /// One line: {"status", "archive", "verify", "ready", "reasons"}.
    std::string event() const;

private:
    PageAnswer ready() const;
    PageAnswer read(const PageQuestion& question);

    Sources sources_;
    PageActions& actions_;
    BackupSeries backups_;
};

/// The page at /, in one file.
std::string_view page_html();

} // namespace walgd::daemon
