#pragma once
#include <memory>
#include <spdlog/logger.h>
#include <string>

namespace walgd {

/// Passed in as `Log&`; one line an event: log.info("event=wal_pushed segment={} bytes={}", ...). What may hold spaces or quotes
/// goes through in_quotes().
using Log = spdlog::logger;

enum class LogStyle {
    daemon, ///< "2026-11-23T10:00:00.123Z info event=... request=7f3a-17"; repetitions are counted, see log_repeats.hpp
    json,   ///< the same as one JSON object a line: {"time":"...","level":"info","event":"wal_pushed",...,"request":"7f3a-17"}
    walg,   ///< WAL-G's: "INFO: 2026/11/23 10:00:00.123456 text"
};

/// Lines go to stderr; `level` is a spdlog level. `destination` empty: stderr, else that file is appended to (mode 0644 less the
/// umask). Where stderr is the journal's (JOURNAL_STREAM, see systemd.exec(5)) lines of the daemon begin with their priority,
/// <3> to <7>, and text leaves the time to the journal.
std::shared_ptr<Log> make_log(LogStyle style, spdlog::level::level_enum level, const std::string& destination = {});

/// Opens the log's file anew, after somebody moved it away. Nothing, where lines go to stderr. Throws when it cannot be opened.
void reopen(Log& log);

/// A log that drops everything; for tests.
std::shared_ptr<Log> silent_log();

} // namespace walgd
