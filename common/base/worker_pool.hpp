#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <thread>
#include <vector>

namespace walgd {

namespace asio = boost::asio;

/// asio::thread_pool, but where a thread cannot be had (the limit of processes) this throws; that one waits for ever for those
/// that it has.
class WorkerPool {
public:
    explicit WorkerPool(std::size_t threads);
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;

    asio::thread_pool::executor_type get_executor() { return pool_.get_executor(); }
    /// Waits until all work is done. No more is taken then.
    void join();

private:
    asio::thread_pool pool_{0};
    std::vector<std::jthread> threads_;
};

} // namespace walgd
