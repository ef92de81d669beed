#include "common/base/async.hpp"

#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

namespace walgd {

TaskGroup::TaskGroup(asio::any_io_executor executor, OnFailure on_failure)
    : executor_(executor), on_failure_(std::move(on_failure)), all_done_(executor, Clock::time_point::max()) {}

void TaskGroup::spawn(awaitable<void> child) {
    const auto signal = signals_.emplace(signals_.end());
    auto reap = [this, signal](std::exception_ptr failure) {
        if (failure) on_failure_(failure);
        signals_.erase(signal);
        if (signals_.empty()) all_done_.cancel();
    };
    try {
        asio::co_spawn(for_current_request(executor_), std::move(child),
                       asio::bind_cancellation_slot(signal->slot(), std::move(reap)));
    } catch (...) {
        signals_.erase(signal); // no memory: there is no child that join() could wait for
        throw;
    }
}

void TaskGroup::cancel() {
    // A child may end inside emit() and leave the list, so the next one is taken before.
    for (auto signal = signals_.begin(); signal != signals_.end();) {
        const auto current = signal++;
        current->emit(asio::cancellation_type::terminal);
    }
}

awaitable<void> TaskGroup::join() {
    // A cancellation is not lost here: it is met at the caller's next wait, when the children have ended.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    while (!signals_.empty()) {
        co_await all_done_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
}

awaitable<void> within(Clock::duration limit, awaitable<void> task, std::string late) {
    const auto executor = co_await asio::this_coro::executor;
    Timer timer(executor, limit);
    auto work = asio::co_spawn(executor, std::move(task), asio::deferred);
    auto wait = timer.async_wait(asio::deferred);
    auto both = asio::experimental::make_parallel_group(std::move(work), std::move(wait));
    const auto [order, failure, timer_error] = co_await both.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
    if (!failure) co_return;
    const bool expired = order[0] == 1 && !timer_error;
    if (expired) throw Error(ErrorKind::transient, late);
    std::rethrow_exception(failure);
}

awaitable<void> sleep_for(Clock::duration duration) {
    const auto executor = co_await asio::this_coro::executor;
    Timer timer(executor, duration);
    const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (error) throw Error(ErrorKind::cancelled, "cancelled while waiting");
}

} // namespace walgd
