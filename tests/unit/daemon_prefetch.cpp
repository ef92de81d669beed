#include "common/archive/chain.hpp"
#include "common/archive/layout.hpp"
#include "common/base/files.hpp"
#include "daemon/wal/prefetch_folder.hpp"
#include "daemon/wal/prefetch_window.hpp"
#include "daemon/wal/wal_service.hpp"
#include "tests/unit/memory_storage.hpp"
#include "tests/unit/wal_support.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <functional>

namespace walgd::daemon {

using Came = PrefetchWindow::Came;

namespace {

pg::Segment segment(std::uint64_t number, std::uint32_t timeline = 1) { return {pg::TimelineId(timeline), number}; }

std::vector<std::uint64_t> numbers(const PrefetchWindow& window) {
    std::vector<std::uint64_t> found;
    for (const auto& wanted : window.wanted()) found.push_back(wanted.number);
    return found;
}

using Numbers = std::vector<std::uint64_t>;

std::string name_of(std::uint64_t number, std::uint32_t timeline = 1) {
    return pg::segment_name(segment(number, timeline), 1 << 20);
}

std::string content_of(std::uint64_t number, std::uint32_t timeline = 1) {
    test::WalHeaderText header;
    header.address = number << 20;
    header.timeline = timeline;
    return test::segment_text(header, static_cast<unsigned>(number));
}

/// A WAL service over a storage in memory, with segments of 1 MiB in it.
struct PrefetchFixture {
    test::Loop loop;
    asio::thread_pool pool{2};
    test::MemoryStorage storage{loop.executor()};
    MemoryBudget budget;
    std::shared_ptr<Log> log = silent_log();
    archive::Archive archive{storage, {codec::compression_by_name("zstd"), "", nullptr}, loop.executor(), pool.executor(), budget,
                             *log};
    test::TemporaryFolder folder;
    PrefetchOptions options{.depth_max = 8, .folder = {}};
    std::optional<WalService> service;

    explicit PrefetchFixture(std::uint64_t budget_bytes = 64 << 20) : budget(budget_bytes) {}
    ~PrefetchFixture() { pool.join(); }

    static std::string key_of(const std::string& name) { return archive::wal_key(name, "zst").path(); }
    void store(const std::string& name, const std::string& content) {
        codec::BlobSink end;
        archive::PackChain chain(archive.packing, codec::Content::wal, end);
        chain.head().write(bytes_of(content));
        chain.head().finish();
        storage.objects[key_of(name)] = std::string(text_of(end.take().view()));
    }
    void store_range(std::uint64_t first, std::uint64_t last, std::uint32_t timeline = 1) {
        for (auto number = first; number <= last; ++number) store(name_of(number, timeline), content_of(number, timeline));
    }
    /// Runs `story` while the prefetch works, and ends both.
    void run(std::function<awaitable<void>()> story) {
        service.emplace(archive, WalLimits{}, options);
        auto both = [&]() -> awaitable<void> {
            TaskGroup group(loop.executor(), [](std::exception_ptr failure) { FAIL(describe(failure)); });
            group.spawn(service->run_prefetch());
            std::exception_ptr failure;
            co_await asio::post(asio::use_awaitable); // run_prefetch() has begun
            try {
                co_await story();
            } catch (...) {
                failure = std::current_exception();
            }
            group.cancel();
            co_await group.join();
            if (failure) std::rethrow_exception(failure);
        };
        loop.run(both());
        CHECK(budget.used() == 0);
    }
    /// What walg-fetch gets: the file's content, or nothing.
    awaitable<std::optional<std::string>> fetch(std::string name) {
        const auto path = folder / "fetched";
        std::filesystem::remove(path);
        const auto fetched = co_await service->fetch(name, open_file(path, O_RDWR | O_CREAT | O_EXCL));
        if (fetched == archive::Fetched::absent) co_return std::nullopt;
        co_return read_text_file(path);
    }
    awaitable<void> fetch_range(std::uint64_t first, std::uint64_t last, std::uint32_t timeline = 1) {
        for (auto number = first; number <= last; ++number) {
            const auto content = co_await fetch(name_of(number, timeline));
            CHECK((content == content_of(number, timeline)));
        }
    }
    /// Lets the others work until `condition` holds.
    awaitable<void> until(std::function<bool()> condition) {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
        while (!condition()) {
            if (std::chrono::steady_clock::now() > deadline) throw Error(ErrorKind::failed, "it did not come to that");
            co_await asio::post(asio::use_awaitable);
        }
    }
    const WalPrefetch& prefetch() const { return service->prefetch(); }
};

} // namespace

TEST_CASE("segments asked for in order are wanted ahead: one, two, and more only while they come late", "[daemon]") {
    PrefetchWindow window(8);
    CHECK(numbers(window).empty());
    window.answered(segment(10), Came::itself);
    CHECK(numbers(window) == Numbers{11});
    window.answered(segment(11), Came::ready);
    CHECK(numbers(window) == Numbers{12, 13});
    window.answered(segment(12), Came::ready);
    CHECK(numbers(window) == Numbers{13, 14});
    window.answered(segment(13), Came::late);
    CHECK(numbers(window) == Numbers{14, 15, 16, 17});
    window.answered(segment(14), Came::late);
    window.answered(segment(15), Came::late);
    CHECK(window.depth() == 8);
}

TEST_CASE("a jump, another timeline and one that had to be fetched by itself make the window small", "[daemon]") {
    PrefetchWindow window(8);
    auto grown = [&] {
        window.forget();
        for (std::uint64_t number = 10; number < 15; ++number) window.answered(segment(number), Came::late);
        REQUIRE(window.depth() == 8);
    };
    grown();
    window.answered(segment(30), Came::itself);
    CHECK(numbers(window).empty());
    window.answered(segment(31), Came::itself);
    CHECK(numbers(window) == Numbers{32});
    grown();
    window.answered(segment(15, 2), Came::itself);
    CHECK(window.wanted() == std::vector{segment(16, 2)});
    grown();
    window.answered(segment(15), Came::itself);
    CHECK(numbers(window) == Numbers{16});
    grown();
    window.refused(segment(15));
    CHECK(numbers(window) == Numbers{15});
    grown();
    window.refused(segment(15, 2)); // the newest timeline is asked first, and says nothing of this one
    CHECK(window.depth() == 8);
    window.answered(segment(14), Came::itself); // the last one once more
    CHECK(window.depth() == 8);
}

TEST_CASE("nothing is wanted behind the archive's end until the segment before it was asked for", "[daemon]") {
    PrefetchWindow window(8);
    for (std::uint64_t number = 10; number < 15; ++number) window.answered(segment(number), Came::late);
    window.ends_at(segment(18));
    window.ends_at(segment(17));
    CHECK(numbers(window) == Numbers{15, 16});
    window.answered(segment(15), Came::ready);
    CHECK(numbers(window) == Numbers{16});
    window.answered(segment(16), Came::ready);
    CHECK(numbers(window).front() == 17);
}

TEST_CASE("without depth nothing is wanted", "[daemon]") {
    PrefetchWindow window(0);
    window.answered(segment(10), Came::itself);
    window.answered(segment(11), Came::itself);
    CHECK(numbers(window).empty());
}

TEST_CASE("segments in order are answered from memory, each at one request", "[daemon]") {
    PrefetchFixture fixture;
    fixture.store_range(1, 12);
    fixture.run([&]() -> awaitable<void> {
        co_await fixture.fetch_range(1, 12);
        CHECK(fixture.prefetch().counters().hits == 11);
        CHECK(fixture.prefetch().counters().prefetched == 11);
        for (std::uint64_t number = 1; number <= 12; ++number)
            CHECK(fixture.storage.count("GET " + fixture.key_of(name_of(number))) == 1);
        const auto again = co_await fixture.fetch(name_of(12)); // as PostgreSQL does at the end of recovery
        CHECK((again == content_of(12)));
        CHECK(fixture.storage.count("GET " + fixture.key_of(name_of(12))) == 1);
    });
    CHECK(fixture.prefetch().counters().dropped == 0);
}

TEST_CASE("every codec and cipher is unpacked ahead", "[daemon]") {
    const auto cipher = codec::make_libsodium_cipher("0123456789abcdef0123456789abcdef", codec::KeyTransform::none, "test");
    for (const auto* method : {"lz4", "zstd", "brotli", "lzma", "none"}) {
        for (const bool encrypted : {false, true}) {
            PrefetchFixture fixture;
            fixture.archive.packing = {codec::compression_by_name(method), "", encrypted ? cipher.get() : nullptr};
            const std::string suffix(fixture.archive.packing.compression->suffix());
            fixture.store_range(1, 4);
            for (std::uint64_t number = 1; number <= 4; ++number) {
                auto object = fixture.storage.objects.extract(fixture.key_of(name_of(number)));
                object.key() = archive::wal_key(name_of(number), suffix).path();
                fixture.storage.objects.insert(std::move(object));
            }
            fixture.run([&]() -> awaitable<void> {
                co_await fixture.fetch_range(1, 4);
                CHECK(fixture.prefetch().counters().hits == 3);
            });
        }
    }
}

TEST_CASE("a poll for what is not there is one listing, and never answered from memory", "[daemon]") {
    PrefetchFixture fixture;
    fixture.store_range(1, 2);
    fixture.run([&]() -> awaitable<void> {
        co_await fixture.fetch_range(1, 2);
        co_await fixture.fetch(name_of(3));
        co_await fixture.until([&] { return fixture.prefetch().ahead() == 0; });
        fixture.storage.requests.clear();
        for (int poll = 0; poll < 5; ++poll) {
            const auto content = co_await fixture.fetch(name_of(3));
            CHECK_FALSE(content);
            const auto newer = co_await fixture.fetch(name_of(3, 2)); // the newest timeline first
            CHECK_FALSE(newer);
            const auto history = co_await fixture.fetch("00000003.history");
            CHECK_FALSE(history);
        }
        CHECK(fixture.storage.requests.size() == 15);
        CHECK(fixture.storage.count("LIST") == 15);
        fixture.store_range(3, 3);
        co_await fixture.fetch_range(3, 3);
    });
}

TEST_CASE("a first look at what is not there is a get and a listing, whatever suffixes there could be", "[daemon]") {
    PrefetchFixture fixture;
    fixture.run([&]() -> awaitable<void> {
        const auto content = co_await fixture.fetch(name_of(3));
        CHECK_FALSE(content);
        CHECK(fixture.storage.requests.size() == 2);
    });
}

TEST_CASE("a name that is no WAL file's may be the beginning of many, and is not listed", "[daemon]") {
    PrefetchFixture fixture;
    fixture.store_range(1, 4);
    fixture.run([&]() -> awaitable<void> {
        for (const auto* name : {"", "0", "000000010000000000000"}) {
            const auto content = co_await fixture.fetch(name);
            CHECK_FALSE(content);
        }
        CHECK(fixture.storage.count("LIST") == 0);
    });
}

TEST_CASE("what stands under another suffix is found, and expected from then on", "[daemon]") {
    PrefetchFixture fixture;
    fixture.store_range(1, 4);
    fixture.archive.packing.compression = codec::compression_by_name("lz4"); // configured anew
    fixture.run([&]() -> awaitable<void> {
        co_await fixture.fetch_range(1, 4);
        CHECK(fixture.storage.count("LIST") == 1);
        for (std::uint64_t number = 2; number <= 4; ++number)
            CHECK(fixture.storage.count("GET " + fixture.key_of(name_of(number))) == 1);
        CHECK(fixture.prefetch().counters().hits == 3);
    });
}

TEST_CASE("a damaged object that was prefetched is never handed out", "[daemon]") {
    PrefetchFixture fixture;
    fixture.store_range(1, 3);
    auto& object = fixture.storage.objects[fixture.key_of(name_of(2))];
    const auto whole = object;
    object[object.size() / 2] = static_cast<char>(object[object.size() / 2] ^ 1);
    fixture.store(name_of(3), content_of(4)); // another segment under its name
    fixture.run([&]() -> awaitable<void> {
        co_await fixture.fetch_range(1, 1);
        for (const auto number : {2UL, 3UL}) {
            std::optional<Error> failure;
            try {
                co_await fixture.fetch(name_of(number));
            } catch (const Error& error) {
                failure = error;
            }
            REQUIRE(failure);
            CHECK(failure->kind() == ErrorKind::corrupt);
            CHECK_THAT(failure->what(), Catch::Contains(name_of(number)));
        }
        CHECK(fixture.prefetch().counters().hits == 0);
        object = whole;
        fixture.store_range(3, 3);
        co_await fixture.fetch_range(1, 3);
    });
}

TEST_CASE("a prefetch that fails is silent, not repeated, and the request asks itself", "[daemon]") {
    PrefetchFixture fixture;
    fixture.store_range(1, 4);
    const auto key = fixture.key_of(name_of(2));
    fixture.storage.unreachable = {key};
    fixture.run([&]() -> awaitable<void> {
        co_await fixture.fetch_range(1, 1);
        co_await fixture.until([&] { return fixture.prefetch().ahead() == 0; });
        CHECK(fixture.storage.count("GET " + key) == 1);
        fixture.storage.unreachable.clear();
        co_await fixture.fetch_range(2, 4);
        CHECK(fixture.storage.count("GET " + key) == 2);
        CHECK(fixture.service->counters().fetch_failed == 0);
    });
}

TEST_CASE("a request waits for what is on its way, and the window grows", "[daemon]") {
    PrefetchFixture fixture;
    fixture.store_range(1, 9);
    fixture.storage.held = {fixture.key_of(name_of(2))};
    fixture.run([&]() -> awaitable<void> {
        co_await fixture.fetch_range(1, 1);
        co_await fixture.until([&] { return fixture.storage.count("GET " + fixture.key_of(name_of(2))) == 1; });
        asio::post(fixture.loop.io(), [&] { fixture.storage.release(); });
        co_await fixture.fetch_range(2, 2);
        CHECK(fixture.prefetch().depth() == 2);
        CHECK(fixture.storage.count("GET " + fixture.key_of(name_of(2))) == 1);
        CHECK(fixture.prefetch().counters().hits == 1);
    });
}

TEST_CASE("two standbys that take turns get each segment at one request", "[daemon]") {
    PrefetchFixture fixture;
    fixture.store_range(1, 6);
    fixture.store_range(20, 26);
    fixture.run([&]() -> awaitable<void> {
        for (std::uint64_t number = 1; number <= 5; ++number) {
            co_await fixture.fetch_range(number, number);
            co_await fixture.until([&] { return fixture.prefetch().ahead() == (number == 1 ? 1U : 0U); });
            co_await fixture.fetch_range(number + 20, number + 20);
        }
        CHECK(fixture.prefetch().counters().prefetched <= 1); // of the very first, which had no other before it
        CHECK(fixture.storage.count("GET ") <= 11);
    });
}

TEST_CASE("when the timeline turns, what was prefetched of the old one is dropped", "[daemon]") {
    PrefetchFixture fixture;
    fixture.store_range(1, 9);
    fixture.store_range(4, 9, 2);
    fixture.run([&]() -> awaitable<void> {
        co_await fixture.fetch_range(1, 3);
        co_await fixture.until([&] { return fixture.prefetch().counters().prefetched == 4; });
        co_await fixture.fetch_range(4, 9, 2);
        CHECK(fixture.prefetch().counters().dropped == 2);
        CHECK(fixture.prefetch().counters().hits == 2 + 5);
    });
}

TEST_CASE("a history file that is there turns the timeline, one that is not does not", "[daemon]") {
    PrefetchFixture fixture;
    fixture.store_range(1, 9);
    fixture.run([&]() -> awaitable<void> {
        co_await fixture.fetch_range(1, 2);
        co_await fixture.until([&] { return fixture.prefetch().ahead() == 2; });
        co_await fixture.fetch("00000002.history");
        CHECK(fixture.prefetch().ahead() == 2);
        fixture.store("00000002.history", "1\t0/300000\tno recovery target specified\n");
        const auto history = co_await fixture.fetch("00000002.history");
        CHECK(history);
        CHECK(fixture.prefetch().ahead() == 0);
        co_await fixture.until([&] { return fixture.prefetch().memory_used() == 0; });
    });
}

TEST_CASE("some time after the last answer all memory is given back", "[daemon]") {
    PrefetchFixture fixture;
    fixture.options.idle = std::chrono::milliseconds(20);
    fixture.store_range(1, 9);
    fixture.run([&]() -> awaitable<void> {
        co_await fixture.fetch_range(1, 2);
        CHECK(fixture.budget.used() > 0);
        co_await fixture.until([&] { return fixture.budget.used() == 0; });
        CHECK(fixture.prefetch().ahead() == 0);
        co_await fixture.fetch_range(3, 5);
    });
}

TEST_CASE("memory never exceeds the prefetch's share, and what has no room is fetched when it is asked for", "[daemon]") {
    PrefetchFixture fixture(std::uint64_t{8} << 20); // a buffer, and room for three objects
    fixture.store_range(1, 20);
    fixture.run([&]() -> awaitable<void> {
        for (std::uint64_t number = 1; number <= 20; ++number) {
            co_await fixture.fetch_range(number, number);
            CHECK(fixture.budget.used() <= fixture.budget.total() / 8 * 3);
        }
        CHECK(fixture.prefetch().counters().hits > 10);
    });
}

TEST_CASE("while a push waits for memory nothing more is fetched ahead", "[daemon]") {
    MemoryBudget budget(80);
    PrefetchMemory memory(budget);
    std::optional held = memory.try_acquire(10);
    REQUIRE(held);
    {
        const MemoryBudget::First push(budget, 75);
        CHECK_FALSE(memory.try_acquire(10));
        held.reset();
        CHECK(budget.try_acquire(75));
    }
    CHECK(memory.try_acquire(10));
}

TEST_CASE("a push that wants the rest of the memory gets it", "[daemon]") {
    PrefetchFixture fixture;
    fixture.store_range(1, 20);
    fixture.run([&]() -> awaitable<void> {
        co_await fixture.fetch_range(1, 5);
        const auto lease = fixture.budget.try_acquire(fixture.budget.total() / 8 * 5);
        CHECK(lease);
        co_await fixture.fetch_range(6, 9);
    });
}

TEST_CASE("segments that memory has no room for are kept packed, or unpacked in the folder", "[daemon]") {
    for (const bool with_folder : {false, true}) {
        PrefetchFixture fixture(2 << 20);
        const test::TemporaryFolder cache;
        if (with_folder) fixture.options.folder = cache.path();
        fixture.store_range(1, 6);
        fixture.run([&]() -> awaitable<void> {
            co_await fixture.fetch_range(1, 6);
            CHECK(fixture.prefetch().counters().hits > 3);
        });
        CHECK(std::filesystem::is_empty(cache.path()));
    }
}

TEST_CASE("with a concurrency of one nothing is prefetched", "[daemon]") {
    PrefetchFixture fixture;
    fixture.options.depth_max = 0;
    fixture.store_range(1, 5);
    fixture.run([&]() -> awaitable<void> {
        co_await fixture.fetch_range(1, 4);
        CHECK(fixture.storage.requests.size() == 4);
        CHECK(fixture.prefetch().counters().prefetched == 0);
    });
}

TEST_CASE("however many ask at once, only so many segments are unpacked at once, and all are answered", "[daemon]") {
    constexpr std::uint64_t first = 100, last = 129;
    PrefetchFixture fixture;
    fixture.options.depth_max = 0;
    fixture.store_range(first, last);
    for (auto number = first; number <= last; ++number) fixture.storage.held.insert(PrefetchFixture::key_of(name_of(number)));
    fixture.run([&]() -> awaitable<void> {
        std::uint64_t whole = 0;
        const auto client = [&](std::uint64_t number) -> awaitable<void> {
            const auto path = fixture.folder / name_of(number);
            const auto fetched = co_await fixture.service->fetch(name_of(number), open_file(path, O_RDWR | O_CREAT | O_EXCL));
            whole += fetched == archive::Fetched::stored && read_text_file(path) == content_of(number);
        };
        TaskGroup clients(fixture.loop.executor(), [](std::exception_ptr failure) { FAIL(describe(failure)); });
        for (auto number = first; number <= last; ++number) clients.spawn(client(number));
        co_await fixture.until([&] { return fixture.storage.count("GET ") >= WalLimits{}.fetches; });
        for (int turn = 0; turn < 100; ++turn) co_await asio::post(asio::use_awaitable);
        CHECK(fixture.storage.count("GET ") == WalLimits{}.fetches);
        fixture.storage.release();
        co_await clients.join();
        CHECK(whole == last - first + 1);
    });
}

TEST_CASE("the folder for large segments is made, tried, and never PostgreSQL's", "[daemon]") {
    const test::TemporaryFolder folder;
    prepare_prefetch_folder(folder / "cache/walgd");
    CHECK(std::filesystem::is_empty(folder / "cache/walgd"));
    CHECK(test::kind_of([&] { prepare_prefetch_folder(folder / "pg_wal"); }) == ErrorKind::misconfigured);
    CHECK(test::kind_of([&] { prepare_prefetch_folder(folder / "pg_wal/"); }) == ErrorKind::misconfigured);
    write_file_atomically(folder / "file", bytes_of("x"), 0600);
    CHECK(test::kind_of([&] { prepare_prefetch_folder(folder / "file"); }) == ErrorKind::misconfigured);
}

} // namespace walgd::daemon
