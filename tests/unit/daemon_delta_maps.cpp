#include "daemon/wal/delta_maps.hpp"
#include "tests/unit/memory_storage.hpp"

namespace walgd::daemon {

namespace {

/// Does not answer the first time, and tells of each request.
class SlowToCome : public test::MemoryStorage {
public:
    explicit SlowToCome(asio::any_io_executor io) : MemoryStorage(io), asked(io) {}

    awaitable<std::unique_ptr<storage::ObjectReader>> get(storage::ObjectKey key, storage::ByteRange range) override {
        ++attempts;
        asked.notify();
        if (attempts == 1) throw Error(ErrorKind::transient, "no answer");
        return MemoryStorage::get(std::move(key), range);
    }

    int attempts = 0;
    Signal asked;
};

} // namespace

TEST_CASE("a map of changed pages is asked for at a group's end alone, and again when the storage did not answer", "[daemon]") {
    test::Loop loop;
    asio::thread_pool pool{1};
    SlowToCome storage(loop.executor());
    storage.objects["wal_005/000000010000000000000010_delta.zst"] = "there";
    MemoryBudget budget{1 << 20};
    const auto log = silent_log();
    archive::Archive archive{
        storage, {codec::compression_by_name("zstd"), "", nullptr}, loop.executor(), pool.get_executor(), budget, *log};
    DeltaMaps maps(archive, "", std::chrono::milliseconds(1));
    auto story = [&]() -> awaitable<void> {
        TaskGroup tasks(loop.executor(), [](std::exception_ptr) {});
        tasks.spawn(maps.run());
        for (const auto* name : {"00000001000000000000001E", "00000001000000000000001F.partial", "00000002.history"})
            maps.stored(name, pg::segment_bytes_default);
        maps.stored("00000001000000000000001F", pg::segment_bytes_default);
        maps.stored("00000001000000000000001F", pg::segment_bytes_default);
        while (storage.attempts < 2) {
            co_await storage.asked.wait();
        }
        tasks.cancel();
        co_await tasks.join();
    };
    loop.run(story());
    pool.join();
    CHECK(storage.attempts == 2);
    CHECK(storage.requests == std::vector<std::string>{"GET wal_005/000000010000000000000010_delta.zst"});
}

} // namespace walgd::daemon
