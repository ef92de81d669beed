#include "common/base/in_parallel.hpp"

#include <algorithm>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace walgd {

void in_parallel(std::size_t count, unsigned at_once, const ParallelWork& work) {
    std::atomic<std::size_t> next = 0;
    std::atomic<bool> failed = false;
    std::mutex mutex;
    std::exception_ptr failure;
    auto worker = [&] {
        try {
            for (auto index = next++; index < count; index = next++) work(index, failed);
        } catch (...) {
            const std::lock_guard lock(mutex);
            if (!failure) failure = std::current_exception();
            failed = true; // not before: what ends because of it is not the cause
            next = count;
        }
    };
    {
        std::vector<std::jthread> threads;
        try {
            for (std::size_t index = 0; index < std::min<std::size_t>(count, std::max(1U, at_once)); ++index)
                threads.emplace_back(worker);
        } catch (const std::system_error&) { // the limit of processes: those that there are do it all
            if (threads.empty()) worker();
        }
    }
    if (failure) std::rethrow_exception(failure);
}

} // namespace walgd
