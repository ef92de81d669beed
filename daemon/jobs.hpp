#pragma once
#include "common/backup/push/backup_push.hpp"
#include "common/base/async.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace walgd::daemon {

/// One base backup at a time, on a thread of its own. Called on the I/O thread.
class Jobs {
public:
    explicit Jobs(archive::Archive& archive) : archive_(archive) {}
    ~Jobs();

    struct Job {
        explicit Job(asio::any_io_executor io) : woken(std::move(io)) {}
        backup::Progress progress;
        std::chrono::system_clock::time_point began = std::chrono::system_clock::now();
        std::optional<backup::PushResult> result; ///< when it ended well
        std::exception_ptr failure;               ///< when it did not
        bool ended = false;
        Timer woken; ///< for the one that follows the job; cancelled when it ends
    };

    /// Error(refused) when one runs.
    std::shared_ptr<Job> start(backup::PushOptions options);
    /// Starts one, and waits for its end: its name. Throws why there is none.
    awaitable<std::string> run(backup::PushOptions options);
    /// The one that runs, or the last one; nothing before the first.
    std::shared_ptr<const Job> current() const { return job_; }
    bool running() const { return job_ && !job_->ended; }
    void cancel();
    /// `listener` is told when one has ended, well or not.
    void on_end(std::function<void()> listener) { on_end_ = std::move(listener); }
    void refuse_further() { refusing_ = true; }

private:
    archive::Archive& archive_;
    std::shared_ptr<Job> job_;
    std::jthread thread_;
    bool refusing_ = false;
    std::function<void()> on_end_;
};

} // namespace walgd::daemon
