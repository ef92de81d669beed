#include "common/base/helper_threads.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <latch>
#include <optional>
#include <stdexcept>

using namespace walgd;

namespace {

HelperThreads::TaskPtr task_of(std::function<void()> work) { return std::make_shared<HelperThreads::Task>(std::move(work)); }

} // namespace

TEST_CASE("a helper begins what waits where a core is free", "[base]") {
    std::latch began(1), go_on(1);
    MemoryBudget budget(1);
    HelperThreads helpers(2, budget);
    const HelperThreads::User user(helpers);
    CHECK(helpers.are_free());
    const auto task = task_of([&] {
        began.count_down();
        go_on.wait();
    });
    helpers.add(task);
    began.wait();
    CHECK_FALSE(helpers.withdraw(task));
    const auto caller = std::this_thread::get_id();
    std::thread::id other_by;
    const auto other = task_of([&] {
        other_by = std::this_thread::get_id();
        go_on.count_down();
    });
    helpers.add(other); // nobody has a core for it but who waits for the first
    helpers.finish(task, {other});
    CHECK(other_by == caller);
    CHECK_NOTHROW(helpers.finish(other, {}));
}

TEST_CASE("where users have all cores nobody helps, until one ends", "[base]") {
    std::latch done(1);
    MemoryBudget budget(1);
    HelperThreads helpers(2, budget);
    const HelperThreads::User first(helpers);
    std::optional<HelperThreads::User> second(std::in_place, helpers);
    CHECK_FALSE(helpers.are_free());
    const auto task = task_of([] {});
    helpers.add(task);
    CHECK(helpers.withdraw(task));
    CHECK_FALSE(helpers.withdraw(task));
    helpers.add(task_of([&] { done.count_down(); }));
    second.reset();
    done.wait();
}

TEST_CASE("a machine of one core has no helpers, and who needs something does it", "[base]") {
    MemoryBudget budget(1);
    HelperThreads helpers(1, budget);
    CHECK_FALSE(helpers.are_free());
    int calls = 0;
    const auto task = task_of([&] { ++calls; });
    helpers.add(task);
    helpers.finish(task, {});
    helpers.finish(task, {});
    CHECK(calls == 1);
}

TEST_CASE("what a task throws comes to who needs it, whoever did it", "[base]") {
    MemoryBudget budget(1);
    const unsigned cores = GENERATE(1U, 3U);
    HelperThreads helpers(cores, budget);
    const auto task = task_of([] { throw std::runtime_error("the cause"); });
    helpers.add(task);
    CHECK_THROWS_WITH(helpers.finish(task, {}), "the cause");
}

TEST_CASE("helpers end with tasks that nobody has begun", "[base]") {
    MemoryBudget budget(1);
    std::atomic<int> calls = 0;
    {
        HelperThreads helpers(2, budget);
        const HelperThreads::User first(helpers), second(helpers);
        helpers.add(task_of([&] { ++calls; }));
    }
    CHECK(calls == 0);
}
