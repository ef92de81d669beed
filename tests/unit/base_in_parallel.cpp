#include "common/base/in_parallel.hpp"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <thread>
#include <vector>

using namespace walgd;

TEST_CASE("each index is worked on once, whatever the number of threads", "[base]") {
    const unsigned at_once = GENERATE(0U, 1U, 3U, 100U);
    std::vector<std::atomic<int>> calls(20);
    in_parallel(calls.size(), at_once, [&](std::size_t index, const std::atomic<bool>&) { ++calls[index]; });
    for (const auto& count : calls) CHECK(count == 1);
}

TEST_CASE("nothing is called where there is nothing to do", "[base]") {
    in_parallel(0, 4, [](std::size_t, const std::atomic<bool>&) { throw std::runtime_error("called"); });
}

TEST_CASE("the first failure is thrown, and what is under way is told", "[base]") {
    std::atomic<bool> second_began = false;
    auto work = [&](std::size_t index, const std::atomic<bool>& failed) {
        if (index == 0) {
            while (!second_began) std::this_thread::yield();
            throw std::runtime_error("the cause");
        }
        second_began = true;
        while (!failed) std::this_thread::yield();
        throw std::runtime_error("what came of it");
    };
    CHECK_THROWS_WITH(in_parallel(100, 2, work), "the cause");
}
