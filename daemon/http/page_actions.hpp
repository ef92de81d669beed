#pragma once
#include "common/archive/archive.hpp"
#include "daemon/http/http_server.hpp"

#include <chrono>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace walgd::daemon {

/// A verify that was started from the page.
struct VerifyRun {
    bool running = true, sound = false;
    std::chrono::system_clock::time_point started = std::chrono::system_clock::now();
    std::string text; ///< what came of it
};

/// What a reader of the page with the token may start. On the I/O thread.
class PageActions {
public:
    struct Works {
        std::function<void()> start_backup;             ///< throws why there is none
        std::function<awaitable<std::string>()> verify; ///< what came of it; throws when a person should look
        std::function<void()> marked;                   ///< told when a mark was written
    };
    /// Both live longer; `tasks` ends what was started.
    PageActions(archive::Archive& archive, TaskGroup& tasks, Works works)
        : archive_(archive), tasks_(tasks), works_(std::move(works)) {}

    /// POST /backup, /verify, /mark/NAME (permanent, with all that it is based on) and /unmark/NAME: 202 or 200 with a line for a
    /// person, 409 with the reason why not.
    awaitable<PageAnswer> perform(std::string path);
    static bool is_action(std::string_view path);
    /// The last verify that was started here: {"running", "started", "text", "ok"}; null before the first.
    nlohmann::ordered_json verify_json() const;

private:
    std::string start_verify();
    awaitable<void> verify();
    awaitable<std::string> mark(std::string backup, bool permanent);

    archive::Archive& archive_;
    TaskGroup& tasks_;
    Works works_;
    std::optional<VerifyRun> verify_;
};

} // namespace walgd::daemon
