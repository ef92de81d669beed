#pragma once
#include <memory>
#include <spdlog/logger.h>
#include <string>

namespace walgd {

/// Passed in as `Log&`; one line an event: log.info("event=wal_pushed segment={} bytes={}", ...).
using Log = spdlog::logger;

enum class LogStyle {
    daemon, ///< "2026-11-23T10:00:00.123Z info event=..."
    walg,   ///< WAL-G's: "INFO: 2026/11/23 10:00:00.123456 text"
};

/// Lines go to stderr; `level` is a spdlog level. `destination` empty: stderr, else that file is appended to (mode 0644 less the
/// umask).
std::shared_ptr<Log> make_log(LogStyle style, spdlog::level::level_enum level, const std::string& destination = {});

/// Opens the log's file anew, after somebody moved it away. Nothing, where lines go to stderr. Throws when it cannot be opened.
void reopen(Log& log);

/// A log that drops everything; for tests.
std::shared_ptr<Log> silent_log();

} // namespace walgd
