#include "common/base/worker_pool.hpp"

namespace walgd {

WorkerPool::WorkerPool(std::size_t threads) {
    try {
        for (std::size_t index = 0; index < threads; ++index) threads_.emplace_back([this] { pool_.attach(); });
    } catch (...) {
        pool_.stop(); // the others end
        throw;
    }
}

WorkerPool::~WorkerPool() { pool_.stop(); }

void WorkerPool::join() {
    if (threads_.empty()) return;
    pool_.wait(); // for nothing: it has no threads of its own, and lets ours end
    threads_.clear();
}

} // namespace walgd
