#include "common/base/run_all.hpp"

namespace walgd {

awaitable<void> run_all(std::vector<awaitable<void>> tasks) {
    std::exception_ptr failure;
    TaskGroup* running = nullptr;
    const auto executor = co_await asio::this_coro::executor;
    TaskGroup group(executor, [&](std::exception_ptr one) {
        if (failure) return;
        failure = one;
        running->cancel();
    });
    running = &group;
    for (auto& task : tasks) group.spawn(std::move(task));
    co_await group.join();
    if (failure) std::rethrow_exception(failure);
}

} // namespace walgd
