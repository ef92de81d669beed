#include "common/backup/push/server_watch.hpp"

#include <condition_variable>
#include <mutex>

namespace walgd::backup {

ServerWatch::ServerWatch(pg::Server& server, std::stop_token stop, std::chrono::milliseconds look_every)
    : server_(server), look_every_(look_every), on_stop_(std::move(stop), [this] { stop_.request_stop(); }),
      thread_([this](const std::stop_token& ended) { watch(ended); }) {}

ServerWatch::~ServerWatch() = default; // the thread is stopped and joined first

void ServerWatch::watch(const std::stop_token& ended) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    while (!never.wait_for(lock, ended, look_every_, [&ended] { return ended.stop_requested(); })) {
        try {
            server_.check_alive();
        } catch (...) {
            failure_ = std::current_exception();
            stop_.request_stop();
            return;
        }
    }
}

void ServerWatch::end() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
    if (failure_) std::rethrow_exception(failure_);
}

} // namespace walgd::backup
