#include "common/base/async.hpp"

#include <boost/asio/experimental/awaitable_operators.hpp>

namespace walgd {

TaskGroup::TaskGroup(asio::any_io_executor executor, OnFailure on_failure)
    : executor_(executor), on_failure_(std::move(on_failure)), all_done_(executor, asio::steady_timer::time_point::max()) {}

void TaskGroup::spawn(awaitable<void> child) {
    const auto signal = signals_.emplace(signals_.end());
    auto reap = [this, signal](std::exception_ptr failure) {
        if (failure) on_failure_(failure);
        signals_.erase(signal);
        if (signals_.empty()) all_done_.cancel();
    };
    asio::co_spawn(executor_, std::move(child), asio::bind_cancellation_slot(signal->slot(), std::move(reap)));
}

void TaskGroup::cancel() {
    // A child may end inside emit() and leave the list, so the next one is taken before.
    for (auto signal = signals_.begin(); signal != signals_.end();) {
        const auto current = signal++;
        current->emit(asio::cancellation_type::terminal);
    }
}

awaitable<void> TaskGroup::join() {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    while (!signals_.empty()) {
        co_await all_done_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
}

awaitable<void> within(std::chrono::steady_clock::duration limit, awaitable<void> task, std::string late) {
    using namespace asio::experimental::awaitable_operators;
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor, limit);
    auto wait = timer.async_wait(asio::use_awaitable);
    const auto first = co_await (std::move(task) || std::move(wait));
    if (first.index() == 1) throw Error(ErrorKind::transient, late);
}

awaitable<void> sleep_for(std::chrono::steady_clock::duration duration) {
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor, duration);
    const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (error) throw Error(ErrorKind::cancelled, "cancelled while waiting");
}

} // namespace walgd
