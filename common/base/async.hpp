#pragma once
#include "common/base/clock.hpp"
#include "common/base/error.hpp"
#include "common/base/request_scope.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <stop_token>
#include <type_traits>

namespace walgd {

namespace asio = boost::asio;
template <class T> using awaitable = asio::awaitable<T>;

/// Runs synchronous `work` on `pool`; the caller goes on, on its own executor, with what it returned or threw. Work runs to its
/// end: a caller that is cancelled meanwhile learns so at its next wait.
template <class Work> awaitable<std::invoke_result_t<Work&>> run_on(asio::any_io_executor pool, Work work) {
    const auto& request = current_request(); // of the caller, who waits for the end
    auto task = [&request, work = std::move(work)]() mutable -> awaitable<std::invoke_result_t<Work&>> {
        const RequestScope scope(request);
        co_return work();
    };
    // No slot: a cancellation would reach into the pool's thread from the caller's, or end a task that has not begun by an
    // exception that nobody catches.
    const asio::cancellation_slot none;
    co_return co_await asio::co_spawn(pool, std::move(task), asio::bind_cancellation_slot(none, asio::use_awaitable));
}

/// Starts `task` on `executor` (the I/O thread's) and blocks this thread until it is done. For threads of a job, never for the
/// I/O thread.
template <class T, class Executor> T run_blocking(Executor executor, awaitable<T> task) {
    return asio::co_spawn(for_current_request(executor), std::move(task), asio::use_future).get();
}

/// A task of the I/O thread that another thread waits for, and that a stop request cancels.
template <class T> class Started {
public:
    Started(asio::any_io_executor io, awaitable<T> task, std::stop_token stop)
        : io_(io), signal_(std::make_shared<asio::cancellation_signal>()),
          result_(asio::co_spawn(for_current_request(io), std::move(task),
                                 asio::bind_cancellation_slot(signal_->slot(), asio::use_future))),
          on_stop_(std::move(stop),
                   [io, signal = signal_] { asio::post(io, [signal] { signal->emit(asio::cancellation_type::terminal); }); }) {}
    Started(const Started&) = delete;
    /// The task's end is waited for here too: it may refer to what its caller owns.
    ~Started() {
        if (result_.valid()) result_.wait();
        asio::post(io_, [signal = std::move(signal_)] {}); // a completing task may still look at it, on its thread
    }
    bool ready() const { return result_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
    T get() { return result_.get(); }

private:
    asio::any_io_executor io_;
    std::shared_ptr<asio::cancellation_signal> signal_;
    std::future<T> result_;
    std::stop_callback<std::function<void()>> on_stop_;
};

/// run_blocking() that a stop request cancels.
template <class T> T run_blocking(asio::any_io_executor io, awaitable<T> task, std::stop_token stop) {
    return Started<T>(std::move(io), std::move(task), std::move(stop)).get();
}

/// Holds a thing of the I/O thread from another thread: it is destroyed where it lives.
template <class T> class OnIoThread {
public:
    OnIoThread(asio::any_io_executor io, std::unique_ptr<T> thing) : io_(std::move(io)), thing_(std::move(thing)) {}
    OnIoThread(OnIoThread&&) noexcept = default;
    OnIoThread& operator=(OnIoThread&& other) noexcept {
        std::swap(io_, other.io_);
        std::swap(thing_, other.thing_);
        return *this;
    }
    ~OnIoThread() {
        if (thing_) asio::post(io_, [thing = std::move(thing_)] {});
    }
    explicit operator bool() const { return thing_ != nullptr; }
    T& operator*() const { return *thing_; }
    T* operator->() const { return thing_.get(); }

private:
    asio::any_io_executor io_;
    std::unique_ptr<T> thing_;
};

/// Owns coroutines: none outlives join(). Lives on one executor; spawn() and join() are called there.
class TaskGroup {
public:
    using OnFailure = std::function<void(std::exception_ptr)>;
    /// `on_failure` is told of every child that ends with an exception.
    TaskGroup(asio::any_io_executor executor, OnFailure on_failure);

    void spawn(awaitable<void> child);
    /// Asks every child to stop.
    void cancel();
    /// Returns when the last child has ended.
    awaitable<void> join();
    std::size_t size() const { return signals_.size(); }

private:
    asio::any_io_executor executor_;
    OnFailure on_failure_;
    std::list<asio::cancellation_signal> signals_;
    Timer all_done_;
};

/// `task`, given up after `limit`: it is cancelled, waited for, and Error(transient) with `late` as its text is thrown.
awaitable<void> within(Clock::duration limit, awaitable<void> task, std::string late);

/// Waits without blocking the thread. Throws Error(cancelled) when the coroutine is cancelled.
awaitable<void> sleep_for(Clock::duration duration);

} // namespace walgd
