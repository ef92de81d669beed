#pragma once
#include "common/base/async.hpp"
#include "common/base/log.hpp"
#include "config/settings.hpp"

#include <boost/asio/signal_set.hpp>
#include <functional>
#include <string>

namespace walgd::daemon {

/// Reads the settings again with `load` and puts into `settings` what can change while walgd runs: the log's level, and all that
/// the next base backup goes by. Says which these were, and which of the others wait for a restart. Throws, and changes nothing,
/// when they are not right.
std::string reload(config::Settings& settings, const std::function<config::Settings()>& load, Log& log);

/// SIGHUP reloads, and tells systemd; SIGUSR1 opens the log's file anew. `signals` were caught before anyone could send one.
awaitable<void> reload_on_signal(asio::signal_set& signals, Log& log, std::function<std::string()> reload);

} // namespace walgd::daemon
