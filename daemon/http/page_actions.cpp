#include "daemon/http/page_actions.hpp"

#include "common/archive/retention/backup_mark.hpp"
#include "common/base/in_quotes.hpp"
#include "daemon/status.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace walgd::daemon {

namespace {

constexpr std::string_view mark_path = "/mark/", unmark_path = "/unmark/";

PageAnswer line(unsigned status, std::string text) { return {status, "text/plain; charset=utf-8", std::move(text) + "\n"}; }

} // namespace

bool PageActions::is_action(std::string_view path) {
    return path == "/backup" || path == "/verify" || path.starts_with(mark_path) || path.starts_with(unmark_path);
}

awaitable<PageAnswer> PageActions::perform(std::string path) {
    std::exception_ptr failure;
    try {
        if (path == "/backup") {
            works_.start_backup();
            co_return line(202, "a base backup has begun: /status tells how far it is");
        }
        if (path == "/verify") co_return line(202, start_verify());
        const bool permanent = path.starts_with(mark_path);
        const auto backup = path.substr((permanent ? mark_path : unmark_path).size());
        auto said = co_await mark(backup, permanent);
        co_return line(200, std::move(said));
    } catch (const Error&) {
        failure = std::current_exception();
    }
    if (as_error(failure).kind() == ErrorKind::cancelled) std::rethrow_exception(failure);
    co_return line(409, describe(failure));
}

std::string PageActions::start_verify() {
    if (verify_ && verify_->running)
        throw Error(ErrorKind::refused, "a verify is running since " + time_or_dash(verify_->started), "wait for it");
    verify_.emplace();
    tasks_.spawn(verify());
    return "a verify has begun: it reads back what has come since the last one";
}

awaitable<void> PageActions::verify() {
    std::exception_ptr failure;
    std::string text;
    try {
        text = co_await works_.verify();
    } catch (...) {
        failure = std::current_exception();
    }
    verify_->running = false;
    verify_->sound = failure == nullptr;
    verify_->text = failure ? describe(failure) : text;
    if (failure)
        archive_.log.error("event=verify_failed error={}", in_quotes(verify_->text));
    else
        archive_.log.info("event=verify_done text={}", in_quotes(verify_->text));
}

awaitable<std::string> PageActions::mark(std::string backup, bool permanent) {
    const auto inventory = co_await archive::take_inventory(archive_, archive::unreadable_for_mark(permanent));
    const auto names = archive::backups_to_mark(inventory, backup, permanent);
    const std::string_view now = permanent ? "permanent" : "not permanent";
    if (names.empty()) co_return fmt::format("{} is {} already", backup, now);
    for (const auto& name : names) {
        co_await archive::write_mark(archive_.storage, name, permanent);
        archive_.log.info("event=backup_marked name={} permanent={}", name, permanent);
    }
    works_.marked();
    co_return fmt::format("{} is {} now", fmt::join(names, ", "), now);
}

nlohmann::ordered_json PageActions::verify_json() const {
    if (!verify_) return nullptr;
    return {{"running", verify_->running},
            {"started", time_or_dash(verify_->started)},
            {"ok", verify_->sound},
            {"text", verify_->text}};
}

} // namespace walgd::daemon
