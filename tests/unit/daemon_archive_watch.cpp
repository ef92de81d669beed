#include "daemon/archive_watch.hpp"
#include "tests/unit/counting_storage.hpp"
#include "tests/unit/file_backend.hpp"

#include <fmt/format.h>

namespace walgd::daemon {

namespace {

constexpr std::uint64_t watch_segment_bytes = 1 << 20;

std::string segment(std::uint64_t number) { return pg::segment_name({pg::TimelineId(1), number}, watch_segment_bytes); }

/// An archive of one segment, and a daemon that has looked at it once.
struct WatchWorld {
    test::FileBackend backend;
    test::CountingStorage storage{backend.storage()};
    MemoryBudget budget{64 << 20};
    std::shared_ptr<Log> log = silent_log();
    archive::Archive archive{
        storage, {codec::compression_by_name("zstd"), "", nullptr}, backend.loop.executor(), backend.pool(), budget, *log};
    ArchiveWatch watch{archive, {.segment_bytes = watch_segment_bytes, .pgdata = {}}};

    /// What began has gone on: each turn comes behind what the pool was given before.
    awaitable<void> turns() {
        for (int turn = 0; turn < 20; ++turn) {
            auto nothing = [] { return 0; };
            co_await run_on(archive.cpu, std::move(nothing));
        }
    }
    void run(const std::function<awaitable<void>()>& story) {
        auto task = [&]() -> awaitable<void> {
            const std::string content = "x";
            co_await storage.put(storage::ObjectKey("wal_005/" + segment(1) + ".zst"), bytes_of(content), {});
            TaskGroup group(archive.io, [](std::exception_ptr) {});
            group.spawn(watch.run());
            while (watch.view().wal.objects == 0) {
                co_await turns();
            }
            co_await story();
            group.cancel();
            co_await group.join();
        };
        backend.loop.run(task());
    }
};

} // namespace

TEST_CASE("segments that another host stored first are in the view, and cost no listing each", "[daemon]") {
    WatchWorld world;
    world.run([&]() -> awaitable<void> {
        const auto lists = world.storage.lists;
        CHECK(world.watch.stale().empty());
        for (std::uint64_t number = 2; number <= 5; ++number) {
            world.watch.stored(segment(number), 0);
            co_await world.turns();
        }
        CHECK(world.storage.lists == lists);
        CHECK(world.watch.view().continuous == 5);
        CHECK(world.watch.stale().find("another host") != std::string::npos); // how large they are is not known
    });
}

TEST_CASE("the first segment of a timeline, and a change that is told of, are looked at", "[daemon]") {
    WatchWorld world;
    world.run([&]() -> awaitable<void> {
        const auto lists = world.storage.lists;
        world.watch.stored(segment(2), 100);
        co_await world.turns();
        CHECK(world.storage.lists == lists);
        CHECK(world.watch.stale().empty());
        world.watch.changed();
        CHECK_FALSE(world.watch.stale().empty());
        while (!world.watch.stale().empty()) {
            co_await world.turns();
        }
        CHECK(world.storage.lists > lists);
    });
}

} // namespace walgd::daemon
