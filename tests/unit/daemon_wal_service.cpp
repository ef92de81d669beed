#include "common/archive/chain.hpp"
#include "common/base/files.hpp"
#include "daemon/wal/wal_service.hpp"
#include "tests/unit/async_support.hpp"
#include "tests/unit/memory_storage.hpp"
#include "tests/unit/stopped_clock.hpp"

#include <fcntl.h>
#include <new>

namespace walgd::daemon {

using namespace std::chrono_literals;

namespace {

constexpr auto put_takes = 9s, push_timeout = 10s;

/// Takes what it is given, after a while.
class SlowStorage : public test::MemoryStorage {
public:
    using MemoryStorage::MemoryStorage;

    bool memory = true; ///< else there is none

    awaitable<storage::PutOutcome> put(storage::ObjectKey key, ByteView body, storage::PutOptions options) override {
        if (!memory) throw std::bad_alloc();
        co_await sleep_for(put_takes);
        if (options.if_absent && objects.contains(key.path())) co_return storage::PutOutcome::exists;
        objects[key.path()] = std::string(text_of(body));
        co_return storage::PutOutcome::stored;
    }
    awaitable<std::optional<storage::ObjectInfo>> head(storage::ObjectKey) override { co_return std::nullopt; }
    awaitable<std::vector<storage::RemoveFailure>> remove(std::vector<storage::ObjectKey> keys) override {
        for (const auto& key : keys) objects.erase(key.path());
        co_return std::vector<storage::RemoveFailure>{};
    }
};

/// One file at a time is on its way to the storage.
struct OneByOne {
    test::StoppedClock clock;
    asio::io_context io{1};
    Timer kick{io};
    SlowStorage storage{io.get_executor()};
    MemoryBudget budget{64 << 20};
    std::shared_ptr<Log> log = silent_log();
    archive::Archive archive{
        storage, {codec::compression_by_name("zstd"), "", nullptr}, io.get_executor(), io.get_executor(), budget, *log};
    WalService wal{archive, {.concurrency = 1, .ahead_files = 0, .level = {}, .push_timeout = push_timeout}};
    test::TemporaryFolder folder;

    UniqueFd file(const std::string& name) {
        write_file_atomically(folder / name, bytes_of("1\t0/3000000\tno reason\n"), 0600);
        return open_file(folder / name, O_RDONLY);
    }
    static FileIdentity identity(const UniqueFd& fd) {
        struct stat about{};
        REQUIRE(::fstat(fd.get(), &about) == 0);
        return FileIdentity(about);
    }
    void settle() {
        io.restart();
        while (io.poll() > 0) {
        }
    }
    void wind(Clock::duration by) {
        Clock::wind(by);
        // Asio looks at its timers when the kernel's timer says so, and that one knows nothing of our clock: a new earliest
        // timer makes it look.
        kick.expires_at(Clock::time_point::min());
        kick.async_wait([](const boost::system::error_code&) {});
        settle();
    }
};

} // namespace

TEST_CASE("a push that is given up in the instant in which its turn comes can be made anew", "[daemon]") {
    OneByOne one;
    const std::vector<std::string> places_taken_by{"00000002.history", "00000003.history", "00000004.history"};
    std::vector<std::future<bool>> ahead;
    for (const auto& name : places_taken_by) {
        auto file = one.file(name);
        const auto identity = OneByOne::identity(file);
        one.wal.queue().begin(name, identity, true);
        ahead.push_back(asio::co_spawn(one.io, one.wal.store_ahead(name, identity, std::move(file)), asio::use_future));
    }
    const std::string late = "00000005.history";
    auto asked = one.file(late);
    const auto identity = OneByOne::identity(asked);
    one.settle();
    auto given_up = asio::co_spawn(one.io, one.wal.push(late, std::move(asked)), asio::use_future);
    one.settle();
    one.wind(push_timeout); // one place is free again, and in the same moment this one has waited for too long
    CHECK(ahead.front().get());
    CHECK(test::kind_of([&] { given_up.get(); }) == ErrorKind::transient);
    CHECK_FALSE(one.wal.queue().find(late, identity));

    for (std::size_t number = 1; number < ahead.size(); ++number) {
        one.wind(put_takes);
        REQUIRE(ahead[number].wait_for(0s) == std::future_status::ready); // one at a time
        CHECK(ahead[number].get());
    }
    auto again = asio::co_spawn(one.io, one.wal.push(late, open_file(one.folder / late, O_RDONLY)), asio::use_future);
    one.settle();
    one.wind(put_takes);
    REQUIRE(again.wait_for(0s) == std::future_status::ready);
    CHECK_FALSE(again.get().already_there);
}

TEST_CASE("that memory was short for a while leaves nothing undone", "[daemon]") {
    OneByOne one;
    one.storage.memory = false;
    TaskGroup tasks(one.io.get_executor(), [](std::exception_ptr) {});
    tasks.spawn(one.wal.find_out_conditional_put());
    one.settle();
    one.storage.memory = true;
    for (int round = 0; round < 10 && !one.wal.conditional_put_known(); ++round) one.wind(10s);
    CHECK(one.wal.conditional_put());
    tasks.cancel();
    one.settle();
}

} // namespace walgd::daemon
