#include "common/base/async.hpp"
#include "common/base/budget.hpp"
#include "common/base/slots.hpp"
#include "common/base/worker_pool.hpp"
#include "tests/unit/async_support.hpp"

#include <atomic>
#include <thread>

namespace walgd {

using test::Beside;
using test::kind_of;
using test::Loop;

namespace {

awaitable<void> forever() { co_await sleep_for(std::chrono::hours(9)); }
awaitable<void> nothing() { co_return; }
awaitable<void> broken() {
    throw Error(ErrorKind::corrupt, "broken");
    co_return;
}

} // namespace

TEST_CASE("within gives back what the task gave, or gives it up", "[base]") {
    Loop loop;
    const auto hour = std::chrono::hours(1);
    CHECK_NOTHROW(loop.run(within(hour, nothing(), "late")));
    CHECK(kind_of([&] { loop.run(within(hour, broken(), "late")); }) == ErrorKind::corrupt);
    CHECK(test::text_of_error([&] { loop.run(within(std::chrono::milliseconds(1), forever(), "late")); }) == "late HINT: ");
}

TEST_CASE("a cancelled group ends its children, and join waits for them", "[base]") {
    Loop loop;
    int ended = 0;
    auto child = [&]() -> awaitable<void> {
        struct AtEnd {
            int& count;
            ~AtEnd() { ++count; }
        } const at_end{ended};
        co_await forever();
    };
    auto parent = [&]() -> awaitable<void> {
        TaskGroup group(loop.executor(),
                        [](std::exception_ptr failure) { CHECK(as_error(failure).kind() == ErrorKind::cancelled); });
        for (int count = 0; count < 3; ++count) group.spawn(child());
        co_await asio::post(loop.executor(), asio::use_awaitable);
        CHECK(group.size() == 3);
        group.cancel();
        co_await group.join();
        CHECK(ended == 3);
    };
    loop.run(parent());
}

TEST_CASE("a pool of workers does all its work before it is joined, and may be left at once", "[base]") {
    std::atomic<int> done = 0;
    auto work = [&done] {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        ++done;
    };
    {
        WorkerPool pool(3);
        for (int count = 0; count < 50; ++count) asio::post(pool.get_executor(), work);
        pool.join();
        CHECK(done == 50);
        pool.join();
    }
    for (int round = 0; round < 50; ++round) WorkerPool(4).join();
    WorkerPool left(4);
    asio::post(left.get_executor(), work);
}

TEST_CASE("work on a pool runs to its end when its caller is cancelled, at whatever instant", "[base]") {
    Loop loop;
    asio::thread_pool pool(2);
    std::atomic<int> done = 0;
    int cancelled = 0, spawned = 0;
    auto child = [&]() -> awaitable<void> {
        for (;;) {
            auto work = [&done] { return ++done; };
            co_await run_on(pool.get_executor(), std::move(work));
        }
    };
    auto parent = [&]() -> awaitable<void> {
        for (int round = 0; round < 300; ++round) {
            TaskGroup group(loop.executor(), [&](std::exception_ptr failure) {
                CHECK(as_error(failure).kind() == ErrorKind::cancelled);
                ++cancelled;
            });
            for (int count = 0; count < 4; ++count, ++spawned) group.spawn(child());
            for (int turn = 0; turn < round % 7; ++turn) {
                co_await asio::post(loop.executor(), asio::use_awaitable);
            }
            group.cancel();
            co_await group.join();
        }
    };
    loop.run(parent());
    CHECK(cancelled == spawned);
    CHECK(done > 0);
}

TEST_CASE("a slot is waited for in line, and a cancelled wait takes none", "[base]") {
    Loop loop;
    std::string order;
    auto parent = [&]() -> awaitable<void> {
        Slots slots(loop.executor(), 1);
        TaskGroup group(loop.executor(), [](std::exception_ptr) {}), given_up(loop.executor(), [](std::exception_ptr) {});
        auto take = [&](char name) -> awaitable<void> {
            const auto slot = co_await slots.take();
            order += name;
        };
        {
            const auto first = co_await slots.take();
            group.spawn(take('a'));
            given_up.spawn(take('x'));
            group.spawn(take('b'));
            co_await asio::post(loop.executor(), asio::use_awaitable);
            CHECK(slots.waiting() == 3);
            given_up.cancel();
            co_await given_up.join();
            CHECK(slots.waiting() == 2);
            CHECK(order.empty());
        }
        co_await group.join();
        CHECK(order == "ab");
    };
    loop.run(parent());
}

TEST_CASE("a started task is waited for, and ended by a stop request", "[base]") {
    Beside beside;
    std::stop_source stop;
    CHECK_NOTHROW(run_blocking(beside.io.get_executor(), nothing(), stop.get_token()));
    Started<void> task(beside.io.get_executor(), forever(), stop.get_token());
    CHECK_FALSE(task.ready());
    stop.request_stop();
    CHECK(as_error([&] {
              try {
                  task.get();
              } catch (...) {
                  return std::current_exception();
              }
              return std::exception_ptr();
          }())
              .kind() == ErrorKind::cancelled);
    CHECK(kind_of([&] { run_blocking(beside.io.get_executor(), forever(), stop.get_token()); }) == ErrorKind::cancelled);
}

TEST_CASE("memory is waited for, and more than there is refused", "[base]") {
    MemoryBudget budget(100);
    auto lease = budget.acquire(60);
    CHECK(budget.used() == 60);
    CHECK_FALSE(budget.try_acquire(50).has_value());
    CHECK(kind_of([&] { budget.acquire(101); }) == ErrorKind::misconfigured);
    std::stop_source stop;
    std::exception_ptr failure;
    std::thread waiter([&] {
        try {
            budget.acquire(50, stop.get_token());
        } catch (...) {
            failure = std::current_exception();
        }
    });
    stop.request_stop();
    waiter.join();
    REQUIRE(failure);
    CHECK(as_error(failure).kind() == ErrorKind::cancelled);
    std::thread taker([&] { budget.acquire(100); });
    lease = {};
    taker.join();
    CHECK(budget.used() == 0);
}

TEST_CASE("a job leaves memory to WAL that waits for it, and keeps a quarter to go on with", "[base]") {
    MemoryBudget budget(100);
    std::stop_source stop;
    stop.request_stop();
    const auto without_waiting = [&](std::uint64_t bytes) { return budget.acquire(bytes, stop.get_token()); };
    {
        const MemoryBudget::First wal(budget);
        CHECK(kind_of([&] { without_waiting(26); }) == ErrorKind::cancelled);
        const auto quarter = without_waiting(25);
        CHECK(kind_of([&] { without_waiting(1); }) == ErrorKind::cancelled);
        CHECK(budget.try_acquire(75));
    }
    const auto all = without_waiting(100);
    CHECK(budget.used() == 100);
}

TEST_CASE("a job whose quarter WAL needs too waits for as long as WAL does", "[base]") {
    MemoryBudget budget(100);
    std::stop_source stop;
    stop.request_stop();
    const auto without_waiting = [&](std::uint64_t bytes) { return budget.acquire(bytes, stop.get_token()); };
    auto held = without_waiting(25);
    {
        const MemoryBudget::First small(budget, 10), segment(budget, 80);
        CHECK(budget.first_waits());
        CHECK_FALSE(budget.try_acquire(80));
        held = {};
        CHECK(kind_of([&] { without_waiting(21); }) == ErrorKind::cancelled);
        without_waiting(20);
        CHECK(budget.try_acquire(80));
    }
    CHECK_FALSE(budget.first_waits());
    without_waiting(25);
}

TEST_CASE("a job that waits for memory goes on when WAL has its own", "[base]") {
    MemoryBudget budget(100);
    std::optional<MemoryBudget::First> wal(budget);
    std::thread job([&] { budget.acquire(80); });
    const auto lease = budget.try_acquire(10);
    wal.reset();
    job.join();
    CHECK(budget.used() == 10);
}

TEST_CASE("a cancellation that comes while children are waited for is met behind them", "[base]") {
    Loop loop;
    TaskGroup outer(loop.executor(), [](std::exception_ptr) {});
    bool joined = false, went_on = false;
    auto parent = [&]() -> awaitable<void> {
        TaskGroup group(loop.executor(), [](std::exception_ptr) {});
        group.spawn([]() -> awaitable<void> { co_await sleep_for(std::chrono::milliseconds(50)); }());
        co_await group.join();
        joined = true;
        co_await sleep_for(std::chrono::hours(1));
        went_on = true;
    };
    auto story = [&]() -> awaitable<void> {
        outer.spawn(parent());
        co_await sleep_for(std::chrono::milliseconds(10));
        outer.cancel();
        co_await outer.join();
    };
    loop.run(story());
    CHECK(joined);
    CHECK_FALSE(went_on);
}

} // namespace walgd
