#include "client/walg/progress_printer.hpp"

#include <algorithm>
#include <condition_variable>
#include <fmt/format.h>
#include <mutex>
#include <unistd.h>

namespace walgd::cli {

namespace {

constexpr std::chrono::milliseconds redraw_every{500};
constexpr std::chrono::seconds line_every{20};
constexpr double mebibyte = 1 << 20;

std::string_view phase_text(backup::Phase phase) {
    using backup::Phase;
    switch (phase) {
    case Phase::starting:
        return "starting: the server makes a checkpoint";
    case Phase::waiting_for_wal:
        return "copied; waiting for the last WAL to reach the archive";
    case Phase::finishing:
        return "finishing";
    case Phase::syncing:
        return "writing out to disk";
    case Phase::done:
        return "done";
    case Phase::copying:
        break;
    }
    return {};
}

} // namespace

Amounts amounts_of(const backup::Progress& progress) {
    return {progress.phase, progress.bytes_done, progress.bytes_total, progress.stored_bytes};
}

std::string progress_line(const std::string& what, const Amounts& amounts, std::chrono::duration<double> elapsed) {
    if (const auto text = phase_text(amounts.phase); !text.empty()) return fmt::format("{}: {}", what, text);
    const auto rate = elapsed.count() > 0 ? static_cast<double>(amounts.done) / elapsed.count() : 0;
    auto line = fmt::format("{}: {} of {} MiB", what, amounts.done >> 20, amounts.total >> 20);
    if (amounts.total > 0) line += fmt::format(" ({}%)", std::min<std::uint64_t>(100, amounts.done * 100 / amounts.total));
    line += fmt::format(", {:.0f} MiB/s", rate / mebibyte);
    if (rate > 0 && amounts.total > amounts.done)
        line += fmt::format(", {:.0f} s left", static_cast<double>(amounts.total - amounts.done) / rate);
    return line;
}

ProgressPrinter::ProgressPrinter(std::string what, Log& log)
    : what_(std::move(what)), log_(log), terminal_(::isatty(STDERR_FILENO) == 1), began_(std::chrono::steady_clock::now()),
      next_line_(began_ + line_every) {}

ProgressPrinter::~ProgressPrinter() {
    if (drawn_) fmt::print(stderr, "\r\x1b[K");
}

void ProgressPrinter::update(const Amounts& amounts) {
    const auto now = std::chrono::steady_clock::now();
    const auto line = progress_line(what_, amounts, now - began_);
    if (terminal_) {
        fmt::print(stderr, "\r\x1b[K{}", line);
        drawn_ = true;
    } else if (now >= next_line_) {
        log_.info("{}", line);
        next_line_ = now + line_every;
    }
}

ProgressWatch::ProgressWatch(const std::string& what, Log& log, const backup::Progress& progress)
    : thread_([what, &log, &progress](std::stop_token stop) {
          ProgressPrinter printer(what, log);
          std::mutex mutex;
          std::condition_variable_any wake;
          std::unique_lock lock(mutex);
          while (!stop.stop_requested()) {
              wake.wait_for(lock, stop, redraw_every, [] { return false; });
              if (!stop.stop_requested()) printer.update(amounts_of(progress));
          }
      }) {}

} // namespace walgd::cli
