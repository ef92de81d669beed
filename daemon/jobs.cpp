#include "daemon/jobs.hpp"

#include "common/base/in_quotes.hpp"
#include "common/base/request_scope.hpp"
#include "common/base/time_text.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

namespace walgd::daemon {

Jobs::~Jobs() { thread_.request_stop(); }

std::shared_ptr<Jobs::Job> Jobs::start(backup::PushOptions options) {
    if (refusing_) throw Error(ErrorKind::refused, "walgd is stopping and starts no backup", "run it again when walgd is back");
    if (running())
        throw Error(ErrorKind::refused,
                    fmt::format("a base backup is running since {}",
                                format_time(std::chrono::time_point_cast<std::chrono::seconds>(job_->began))),
                    "wait for it: walg status shows how far it is");
    if (thread_.joinable()) thread_.join();
    const auto job = std::make_shared<Job>(archive_.io);
    thread_ = std::jthread([this, job, options = std::move(options), request = current_request()](std::stop_token stop) {
        const RequestScope scope(request);
        std::optional<backup::PushResult> result;
        std::exception_ptr failure;
        try {
            result = backup::backup_push(archive_, options, job->progress, stop);
        } catch (...) {
            failure = std::current_exception();
        }
        asio::post(archive_.io, [this, job, result, failure, request] {
            const RequestScope ending(request);
            job->result = result;
            job->failure = failure;
            job->ended = true;
            job->woken.cancel();
            if (on_end_) on_end_();
            if (failure)
                archive_.log.error("event=backup_failed error={}", in_quotes(describe(failure)));
            else
                archive_.log.info("event=backup_done name={} bytes={} stored={} read={} parent={} source={}", result->name,
                                  result->plain_bytes, result->stored_bytes, result->read_bytes, result->parent,
                                  in_quotes(result->source));
        });
    });
    job_ = job; // not before: where no thread can be had, none runs
    archive_.log.info("event=backup_started");
    return job;
}

awaitable<std::string> Jobs::run(backup::PushOptions options) {
    const auto job = start(std::move(options));
    while (!job->ended) {
        job->woken.expires_after(std::chrono::seconds(60));
        co_await job->woken.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    // The job was cancelled, not who waits for it; but for where walgd ends.
    if (job->failure && as_error(job->failure).kind() == ErrorKind::cancelled && !refusing_)
        throw Error(ErrorKind::failed, "the backup was cancelled");
    if (job->failure) std::rethrow_exception(job->failure);
    co_return job->result->name;
}

void Jobs::cancel() { thread_.request_stop(); }

} // namespace walgd::daemon
