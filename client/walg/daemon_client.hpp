#pragma once
#include "client/walg/verb.hpp"
#include "common/backup/backup_push.hpp"

#include <optional>

namespace walgd::cli {

/// Asks the daemon at WALGD_SOCKET for a base backup and shows its progress until it ends. Nothing when no daemon listens there:
/// the caller runs it itself. An Error of the job comes back as that Error. `context.stop` cancels the job.
std::optional<backup::PushResult> backup_push_by_daemon(Context& context, const backup::PushOptions& options);

/// Prints `progress` until `finished`: one line redrawn on a terminal, else a line now and then (bytes, rate, time left).
class ProgressPrinter {
public:
    ProgressPrinter(std::string what, Log& log);
    ~ProgressPrinter();
    void update(std::uint64_t bytes_done, std::uint64_t bytes_total, std::uint64_t stored_bytes);
    void finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace walgd::cli
