#pragma once
#include "daemon/http_server.hpp"
#include "daemon/status.hpp"

#include <functional>

namespace walgd::daemon {

/// What the HTTP server answers: /metrics, /livez, /readyz, /status, the page at /, and POST /backup.
class Pages {
public:
    using Sources = std::function<StatusSources()>;
    /// `start_backup` starts one; throws what a person is to know.
    Pages(Sources sources, std::function<void()> start_backup)
        : sources_(std::move(sources)), start_backup_(std::move(start_backup)) {}

    HttpAnswer answer(const HttpQuestion& question) const;
    /// One line: {"status", "archive", "ready", "reasons"}.
    std::string event() const;

private:
    HttpAnswer ready() const;
    HttpAnswer backup() const;

    Sources sources_;
    std::function<void()> start_backup_;
};

/// The page at /, in one file.
std::string_view page_html();

} // namespace walgd::daemon
