#include "common/archive/layout.hpp"
#include "common/archive/wal/system_guard.hpp"
#include "common/archive/wal/wal_fetch.hpp"
#include "common/archive/wal/wal_pack.hpp"
#include "common/archive/wal/wal_push.hpp"
#include "common/archive/wal/wal_source.hpp"
#include "common/base/files.hpp"
#include "tests/unit/counting_storage.hpp"
#include "tests/unit/file_backend.hpp"
#include "tests/unit/stopped_clock.hpp"
#include "tests/unit/wal_support.hpp"

#include <atomic>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>

namespace walgd::archive {

using test::kind_of;
using test::segment_text;
using test::WalHeaderText;

namespace {

const std::string first = "000000010000000000000001", second = "000000010000000000000002";

struct WalFixture {
    test::FileBackend backend;
    MemoryBudget budget{64 << 20};
    std::shared_ptr<Log> log = silent_log();
    Archive archive{backend.storage(),
                    {codec::compression_by_name("zstd"), "", nullptr},
                    backend.loop.executor(),
                    backend.pool(),
                    budget,
                    *log};
    test::TemporaryFolder local;

    WalPushed push(const std::string& name, const std::string& text, WalPushOptions options = {}) {
        const auto path = local / "source";
        write_file_atomically(path, bytes_of(text), 0600);
        WalPusher pusher(archive, options);
        return backend.loop.run(pusher.push(name, open_file(path, O_RDONLY)));
    }
    Fetched fetch(const std::string& name, bool exclusive = false) {
        WalFetcher fetcher(archive);
        return backend.loop.run(fetcher.fetch(name, local / "fetched", exclusive));
    }
    std::string fetched() { return read_text_file(local / "fetched", 64 << 20); }
    std::string stored(const std::string& file) { return backend.folder / ("wal_005/" + file); }
    void damage(const std::string& file, std::size_t at) {
        auto text = read_text_file(stored(file), 64 << 20);
        text[at] = static_cast<char>(text[at] ^ 0x20);
        write_file_atomically(stored(file), bytes_of(text), 0600);
    }
    void cut(const std::string& file, std::size_t count) {
        const auto text = read_text_file(stored(file), 64 << 20);
        write_file_atomically(stored(file), bytes_of(text).first(count), 0600);
    }
};

} // namespace

TEST_CASE("a fetch after a push is the same file, whatever the method", "[wal]") {
    for (const auto* method : {"lz4", "zstd", "brotli", "lzma", "none"}) {
        WalFixture fixture;
        fixture.archive.packing.compression = codec::compression_by_name(method);
        const auto text = segment_text({});
        CHECK(fixture.push(first, text).plain_bytes == text.size());
        CHECK(fixture.fetch(first) == Fetched::stored);
        CHECK((fixture.fetched() == text));
        CHECK(fixture.budget.used() == 0);
    }
}

TEST_CASE("the same content again is success, also under another method; other content is refused, and both are named", "[wal]") {
    WalFixture fixture;
    const auto text = segment_text({});
    CHECK_FALSE(fixture.push(first, text).already_there);
    CHECK(fixture.push(first, text).already_there);
    const auto other = segment_text({}, 2);
    CHECK(kind_of([&] { fixture.push(first, other); }) == ErrorKind::refused);
    fixture.archive.packing.compression = codec::compression_by_name("lz4");
    CHECK(fixture.push(first, text).already_there);
    const auto said = test::text_of_error([&] { fixture.push(first, other); });
    CHECK_THAT(said, Catch::Contains(first + ".zst"));
    CHECK_FALSE(std::filesystem::exists(fixture.stored(first + ".lz4")));
    fixture.fetch(first);
    CHECK((fixture.fetched() == text));
}

TEST_CASE("a storage without conditional put is looked at first", "[wal]") {
    WalFixture fixture;
    const WalPushOptions look{.conditional_put = ConditionalPut::look_first};
    CHECK_FALSE(fixture.push(first, segment_text({}), look).already_there);
    CHECK(fixture.push(first, segment_text({}), look).already_there);
    CHECK(kind_of([&] { fixture.push(first, segment_text({}, 2), look); }) == ErrorKind::refused);
    CHECK(fixture.backend.loop.run(probe_conditional_put(fixture.archive)) == ConditionalPut::works);
}

TEST_CASE("whether a storage keeps from overwriting is found out also where nothing may be removed", "[wal]") {
    WalFixture fixture;
    test::CountingStorage storage(fixture.backend.storage());
    storage.refuses_removing = true;
    auto archive = with_storage(fixture.archive, storage);
    CHECK(fixture.backend.loop.run(probe_conditional_put(archive)) == ConditionalPut::works);
}

TEST_CASE("what a look at the storage left behind that was killed is removed after an hour", "[wal]") {
    WalFixture fixture;
    auto& storage = fixture.backend.storage();
    const auto put = [&](const std::string& name, std::chrono::minutes age) {
        const auto key = "walgd_005/check/" + name;
        fixture.backend.loop.run(storage.put(storage::ObjectKey(key), bytes_of("first"), {}));
        std::filesystem::last_write_time(fixture.backend.folder / key, std::filesystem::file_time_type::clock::now() - age);
    };
    put(probe_key().path().substr(16), std::chrono::minutes(61));
    put("0123456789abcdef", std::chrono::minutes(61));
    put("0123456789abcdee", std::chrono::minutes(50)); // somebody may be looking at it
    put("a person's", std::chrono::minutes(61));
    fixture.backend.loop.run(remove_old_probes(fixture.archive));
    std::vector<std::string> left;
    const auto page = fixture.backend.loop.run(storage.list("walgd_005/check/", {}));
    for (const auto& object : page.objects) left.push_back(object.key.path().substr(16));
    CHECK(left == std::vector<std::string>{"0123456789abcdee", "a person's"});
    test::CountingStorage refusing(storage);
    refusing.refuses_removing = true;
    auto archive = with_storage(fixture.archive, refusing);
    put("0123456789abcdef", std::chrono::minutes(61));
    CHECK_NOTHROW(fixture.backend.loop.run(remove_old_probes(archive)));
}

TEST_CASE("what is not the segment that its name says is not stored", "[wal]") {
    WalFixture fixture;
    CHECK_THROWS_AS(fixture.push(second, segment_text({})), Error);                   // another address
    CHECK_THROWS_AS(fixture.push(first, std::string(1 << 20, '\0')), Error);          // never written
    CHECK_THROWS_AS(fixture.push(first, segment_text({}).substr(0, 1000000)), Error); // cut
    CHECK_THROWS_AS(fixture.push("notes.txt", "x"), Error);                           // no WAL file
    CHECK_THROWS_AS(fixture.push("../000000010000000000000001", segment_text({})), Error);
    CHECK_FALSE(std::filesystem::exists(fixture.stored("")));
    fixture.push("00000002.history", "1\t0/3000000\tno recovery target specified\n");
    CHECK(fixture.fetch("00000002.history") == Fetched::stored);
}

TEST_CASE("another cluster's WAL is refused, until the archive adopts it", "[wal]") {
    WalFixture fixture;
    fixture.push(first, segment_text({}));
    WalHeaderText other;
    other.address = 2 << 20;
    other.system = 42;
    const auto said = test::text_of_error([&] { fixture.push(second, segment_text(other)); });
    for (const auto* part : {"7364522330287841025", "42", "prefix", "adopt-system"}) CHECK_THAT(said, Catch::Contains(part));
    fixture.backend.loop.run(adopt_system(fixture.archive, pg::SystemIdentifier(42)));
    CHECK_NOTHROW(fixture.push(second, segment_text(other)));
}

TEST_CASE("whose archive it is can be told from its WAL alone", "[wal]") {
    WalFixture fixture;
    CHECK_FALSE(fixture.backend.loop.run(archive_system(fixture.archive)));
    fixture.push(first, segment_text({}));
    std::filesystem::remove_all(fixture.backend.folder / "walgd_005");
    CHECK(fixture.backend.loop.run(archive_system(fixture.archive)) == pg::SystemIdentifier(WalHeaderText().system));
}

TEST_CASE("a damaged object does not hide whose archive it is, where another one tells", "[wal]") {
    WalFixture fixture;
    fixture.push(first, segment_text({}));
    const auto damage = [](const std::filesystem::path& path) { std::ofstream(path) << "{ neither JSON nor packed"; };
    damage(fixture.backend.folder / "walgd_005/system.json");
    CHECK(fixture.backend.loop.run(archive_system(fixture.archive)) == pg::SystemIdentifier(WalHeaderText().system));
    const std::filesystem::path backups(fixture.backend.folder / "basebackups_005");
    std::filesystem::create_directory(backups);
    damage(backups / ("base_" + first + "_backup_stop_sentinel.json"));
    for (const auto& object : std::filesystem::directory_iterator(fixture.backend.folder / "wal_005")) damage(object.path());
    CHECK(test::kind_of([&] { fixture.backend.loop.run(archive_system(fixture.archive)); }) == ErrorKind::corrupt);
}

TEST_CASE("after warming up a push asks for nothing, and knows the methods of the whole archive", "[wal]") {
    WalFixture fixture;
    fixture.push(first, segment_text({}));
    test::CountingStorage counting(fixture.backend.storage());
    counting.page_objects = 2;
    // Behind the first pages, where a listing of one page would not come to.
    for (const auto* name : {"000000010000000000000003.zst", "000000010000000000000004.zst", "000000010000000000000005.lz4"})
        write_file_atomically(fixture.stored(name), bytes_of("x"), 0600);
    Archive archive{counting, fixture.archive.packing, fixture.archive.io, fixture.archive.cpu, fixture.budget, *fixture.log};
    WalPusher pusher(archive, {});
    fixture.backend.loop.run(pusher.warm_up());
    CHECK(counting.lists == 2);
    CHECK(counting.heads == 0);
    counting.calls = 0;
    WalHeaderText next;
    next.address = 2 << 20;
    const auto path = fixture.local / "source";
    write_file_atomically(path, bytes_of(segment_text(next)), 0600);
    CHECK_FALSE(fixture.backend.loop.run(pusher.push(second, open_file(path, O_RDONLY))).already_there);
    CHECK(counting.heads == 1); // .lz4 is in the archive, no other method is
    CHECK(counting.calls == 2); // that look, and the put
}

TEST_CASE("an absent file is absent; a storage that is gone is not absence", "[wal]") {
    WalFixture fixture;
    CHECK(fixture.fetch(first) == Fetched::absent);
    CHECK_FALSE(std::filesystem::exists(fixture.local / "fetched"));
    std::filesystem::remove_all(fixture.backend.folder.path());
    CHECK(kind_of([&] { fixture.fetch(first); }) == ErrorKind::misconfigured);
}

TEST_CASE("a damaged or cut object is an error that names it, and no file comes into being", "[wal]") {
    WalFixture fixture;
    fixture.push(first, segment_text({}));
    const auto size = std::filesystem::file_size(fixture.stored(first + ".zst"));
    fixture.damage(first + ".zst", size / 2);
    CHECK_THAT(test::text_of_error([&] { fixture.fetch(first); }), Catch::Contains(first));
    fixture.damage(first + ".zst", size / 2);
    CHECK(fixture.fetch(first) == Fetched::stored);
    std::filesystem::remove(fixture.local / "fetched");
    for (const auto count : {std::size_t{0}, std::size_t{1}, size / 2, size - 1}) {
        const auto whole = read_text_file(fixture.stored(first + ".zst"), 64 << 20);
        fixture.cut(first + ".zst", count);
        CHECK(kind_of([&] { fixture.fetch(first); }) == ErrorKind::corrupt);
        write_file_atomically(fixture.stored(first + ".zst"), bytes_of(whole), 0600);
    }
    const std::filesystem::directory_iterator left(fixture.local.path());
    CHECK(std::distance(begin(left), end(left)) == 1); // the source; no temporary file
    CHECK_FALSE(std::filesystem::exists(fixture.local / "fetched"));
}

TEST_CASE("a change while a file is read shows, also within the clock tick of the change before it", "[wal]") {
    const test::TemporaryFolder folder;
    const auto path = folder / first;
    const auto file = open_file(path, O_RDWR | O_CREAT | O_EXCL);
    write_all_at(file.get(), bytes_of(segment_text({})), 0, path);
    for (int round = 0; round < 20; ++round) {
        write_all_at(file.get(), bytes_of("before"), 4096, path);
        const WalSource source(first, open_file(path, O_RDONLY));
        std::byte page[8192];
        CHECK(source.read(page, 0) == sizeof page);
        CHECK_NOTHROW(source.check_unchanged());
        write_all_at(file.get(), bytes_of("behind"), 4096, path);
        CHECK(kind_of([&] { source.check_unchanged(); }) == ErrorKind::corrupt);
    }
}

TEST_CASE("a push that is given up just as it gets its memory leaves no thread with its file", "[wal]") {
    struct Reads : WalObserver {
        void piece(std::uint64_t, ByteView) override { ++count; }
        std::atomic<int> count = 0;
    } reads;
    const test::StoppedClock clock;
    WalFixture fixture;
    asio::thread_pool cpu(2);
    auto archive = fixture.archive;
    archive.cpu = cpu.get_executor();
    const auto path = fixture.local / "source";
    write_file_atomically(path, bytes_of(segment_text({})), 0600);
    const WalSource source(first, open_file(path, O_RDONLY), &reads);
    WalPacker packer(archive);
    auto all = fixture.budget.try_acquire(fixture.budget.total());

    // The push's time is over, and its next look for memory is due, in one turn of the loop.
    auto& io = fixture.backend.loop.io();
    asio::cancellation_signal signal;
    std::exception_ptr failure;
    Timer over(io, std::chrono::microseconds(500));
    over.async_wait([&signal](auto) { signal.emit(asio::cancellation_type::terminal); });
    asio::co_spawn(
        io, packer.pack(source, "", false),
        asio::bind_cancellation_slot(signal.slot(), [&failure](std::exception_ptr what, const PackedWal&) { failure = what; }));
    io.poll();
    all.reset();
    Clock::wind(std::chrono::milliseconds(10));
    io.restart();
    io.run();
    cpu.join();
    REQUIRE(failure);
    CHECK(as_error(failure).kind() == ErrorKind::cancelled);
    CHECK(reads.count == 0);
}

TEST_CASE("the pieces of a push that is given up are removed from the storage", "[wal]") {
    /// Takes an upload, and no piece of it.
    struct Stuck : test::CountingStorage {
        using CountingStorage::CountingStorage;
        struct Pieces : storage::Upload {
            explicit Pieces(Stuck& storage) : storage_(storage) {}
            awaitable<void> put_piece(int, std::uint64_t, ByteView) override {
                storage_.stuck();
                co_await sleep_for(std::chrono::hours(1));
            }
            awaitable<storage::PutOutcome> complete() override { co_return storage::PutOutcome::stored; }
            awaitable<void> abort() override {
                ++storage_.aborted;
                co_return;
            }
            Stuck& storage_;
        };
        awaitable<std::unique_ptr<storage::Upload>> start_upload(storage::ObjectKey, storage::PutOptions) override {
            co_return std::make_unique<Pieces>(*this);
        }
        std::function<void()> stuck;
        int aborted = 0;
    };
    WalFixture fixture;
    Stuck stuck(fixture.backend.storage());
    Archive archive{stuck, fixture.archive.packing, fixture.archive.io, fixture.archive.cpu, fixture.budget, *fixture.log};
    const auto path = fixture.local / "source";
    constexpr std::uint32_t bytes = 64 << 20; // more than is sent whole
    write_file_atomically(path, bytes_of(WalHeaderText{.address = bytes, .segment_bytes = bytes}.bytes()), 0600);
    std::filesystem::resize_file(path, bytes);

    auto& io = fixture.backend.loop.io();
    asio::cancellation_signal signal;
    std::exception_ptr failure;
    stuck.stuck = [&] { asio::post(io, [&signal] { signal.emit(asio::cancellation_type::terminal); }); };
    WalPusher pusher(archive, {});
    asio::co_spawn(
        io, pusher.push(first, open_file(path, O_RDONLY)),
        asio::bind_cancellation_slot(signal.slot(), [&failure](std::exception_ptr what, const WalPushed&) { failure = what; }));
    io.run();
    REQUIRE(failure);
    CHECK(as_error(failure).kind() == ErrorKind::cancelled);
    CHECK(stuck.aborted == 1);
}

TEST_CASE("what the storage keeps back, of an archive class, and an upload that somebody aborted are no other content", "[wal]") {
    /// Hands out nothing of a folder, and takes no piece.
    struct Refusing : test::CountingStorage {
        using CountingStorage::CountingStorage;
        struct Pieces : storage::Upload {
            awaitable<void> put_piece(int, std::uint64_t, ByteView) override { throw Error(ErrorKind::refused, "NoSuchUpload"); }
            awaitable<storage::PutOutcome> complete() override { co_return storage::PutOutcome::stored; }
            awaitable<void> abort() override { co_return; }
        };
        awaitable<std::unique_ptr<storage::ObjectReader>> get(storage::ObjectKey key, storage::ByteRange range) override {
            if (key.path().starts_with(folder)) throw Error(ErrorKind::refused, "InvalidObjectState");
            return CountingStorage::get(key, range);
        }
        awaitable<std::unique_ptr<storage::Upload>> start_upload(storage::ObjectKey, storage::PutOptions) override {
            co_return std::make_unique<Pieces>();
        }
        std::string folder = "wal_005/";
    };
    WalFixture fixture;
    const auto text = segment_text({});
    fixture.push(first, text);
    Refusing refusing(fixture.backend.storage());
    auto archive = with_storage(fixture.archive, refusing);
    const auto push = [&](const std::string& name, const std::string& path) {
        WalPusher pusher(archive, {});
        fixture.backend.loop.run(pusher.push(name, open_file(path, O_RDONLY)));
    };
    CHECK(kind_of([&] { push(first, fixture.local / "source"); }) == ErrorKind::failed);
    const auto path = fixture.local / "large";
    constexpr std::uint32_t bytes = 64 << 20; // more than is sent whole
    write_file_atomically(path, bytes_of(WalHeaderText{.address = bytes, .segment_bytes = bytes}.bytes()), 0600);
    std::filesystem::resize_file(path, bytes);
    CHECK(kind_of([&] { push(first, path); }) == ErrorKind::failed);
    // Whose archive it is other objects tell, or nobody.
    refusing.folder = "walgd_005/";
    CHECK(fixture.backend.loop.run(archive_system(archive)) == pg::SystemIdentifier(WalHeaderText().system));
    refusing.folder.clear();
    CHECK(kind_of([&] { fixture.backend.loop.run(archive_system(archive)); }) == ErrorKind::failed);
}

TEST_CASE("an object that holds another segment is not handed out", "[wal]") {
    WalFixture fixture;
    fixture.push(first, segment_text({}));
    std::filesystem::rename(fixture.stored(first + ".zst"), fixture.stored(second + ".zst"));
    CHECK_THROWS_AS(fixture.fetch(second), Error);
    CHECK_FALSE(std::filesystem::exists(fixture.local / "fetched"));
}

TEST_CASE("an existing destination is replaced, but refused as wal-g", "[wal]") {
    WalFixture fixture;
    fixture.push(first, segment_text({}));
    write_file_atomically(fixture.local / "fetched", bytes_of("old"), 0600);
    CHECK_THROWS_AS(fixture.fetch(first, true), Error);
    CHECK(fixture.fetched() == "old");
    CHECK(fixture.fetch(first) == Fetched::stored);
    CHECK((fixture.fetched() == segment_text({})));
}

} // namespace walgd::archive
