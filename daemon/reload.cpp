#include "daemon/reload.hpp"

#include "common/base/in_quotes.hpp"
#include "config/process.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <systemd/sd-daemon.h>

namespace walgd::daemon {

namespace {

/// Read anew by each base backup (config::push_options), and the log's level.
constexpr std::array<std::string_view, 18> live{"log_level",
                                                "delta_max_steps",
                                                "delta_origin",
                                                "delta_source",
                                                "delta_from_name",
                                                "delta_from_user_data",
                                                "verify_page_checksums",
                                                "store_all_corrupt_blocks",
                                                "without_files_metadata",
                                                "use_database_composer",
                                                "use_rating_composer",
                                                "use_copy_composer",
                                                "disable_partial_restore",
                                                "sentinel_user_data",
                                                "tar_size_threshold",
                                                "upload_disk_concurrency",
                                                "disk_rate_limit",
                                                "stop_wal_timeout"};

} // namespace

std::string reload(config::Settings& settings, const std::function<config::Settings()>& load, Log& log) {
    const auto next = load();
    std::vector<std::string> applied, later;
    for (const auto& name : settings.differing(next)) {
        if (std::ranges::find(live, name) == live.end()) {
            later.push_back(name);
            continue;
        }
        settings.take(name, next);
        applied.push_back(name);
    }
    log.set_level(config::log_level(settings));
    const auto text = fmt::format("in force now: {}; needs a restart: {}",
                                  applied.empty() ? "nothing new" : fmt::format("{}", fmt::join(applied, ", ")),
                                  later.empty() ? "nothing" : fmt::format("{}", fmt::join(later, ", ")));
    log.info("event=reloaded text={}", in_quotes(text));
    return text;
}

awaitable<void> reload_on_signal(asio::signal_set& signals, Log& log, std::function<std::string()> reload) {
    for (;;) {
        const auto [error, number] = co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
        if (error) co_return;
        try {
            if (number == SIGUSR1) {
                reopen(log);
                continue;
            }
            ::sd_notify(0, "RELOADING=1");
            reload();
        } catch (...) {
            log.error("event=reload_failed error={} text=\"what was in force stays in force\"",
                      in_quotes(describe(std::current_exception())));
        }
        ::sd_notify(0, "READY=1");
    }
}

} // namespace walgd::daemon
