#pragma once
#include "common/backup/progress.hpp"
#include "common/base/log.hpp"

#include <chrono>
#include <string>
#include <thread>

namespace walgd::cli {

/// How far work is.
struct Amounts {
    backup::Phase phase = backup::Phase::starting;
    std::uint64_t done = 0, total = 0, stored = 0; ///< bytes; total 0: not known yet
};
/// As of now.
Amounts amounts_of(const backup::Progress& progress);

/// "backup: 1234 of 5678 MiB (21%), 310 MiB/s, 14 s left".
std::string progress_line(const std::string& what, const Amounts& amounts, std::chrono::duration<double> elapsed);

/// Shows how far long work is: one line that is redrawn on a terminal, else a log line now and then.
class ProgressPrinter {
public:
    ProgressPrinter(std::string what, Log& log);
    ~ProgressPrinter();
    void update(const Amounts& amounts);

private:
    std::string what_;
    Log& log_;
    const bool terminal_;
    std::chrono::steady_clock::time_point began_, next_line_;
    bool drawn_ = false;
};

/// Prints the progress of work in this process until destroyed.
class ProgressWatch {
public:
    ProgressWatch(const std::string& what, Log& log, const backup::Progress& progress);

private:
    std::jthread thread_;
};

} // namespace walgd::cli
