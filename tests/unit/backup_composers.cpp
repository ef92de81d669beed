#include "common/archive/layout.hpp"
#include "common/backup/push/former_parts.hpp"
#include "common/backup/push/ratings.hpp"
#include "common/backup/verify_state.hpp"
#include "common/base/files.hpp"
#include "common/codec/sink.hpp"
#include "tests/unit/counting_storage.hpp"
#include "tests/unit/file_backend.hpp"

#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>

namespace walgd::backup {

namespace {

const std::string former_name = "base_000000010000000000000002", new_name = "base_000000010000000000000004";

/// A storage that copies as the test wants.
class CopyingStorage : public test::CountingStorage {
public:
    using CountingStorage::CountingStorage;
    std::optional<storage::CopyOutcome> outcome;
    bool fails = false;
    int copies = 0;

    awaitable<storage::CopyOutcome> copy(storage::ObjectKey from, storage::ObjectKey to) override {
        ++copies;
        if (fails) throw Error(ErrorKind::transient, "nobody answers");
        if (outcome) co_return *outcome;
        const auto done = co_await test::CountingStorage::copy(std::move(from), std::move(to));
        co_return done;
    }
};

/// A cluster's files, and a former full backup of them: what is in part_001 and part_002.
struct Cluster {
    Cluster() {
        for (const auto* folder : {"global", "base/5"}) std::filesystem::create_directories(pgdata / folder);
        for (const auto* file : {"PG_VERSION", "base/5/100", "base/5/200", "base/5/200_vm", "base/5/300"}) write(file, 8192);
        sentinel.start_lsn = pg::Lsn(0x2000028);
        sentinel.finish_lsn = pg::Lsn(0x2000100);
        sentinel.start_time = std::chrono::system_clock::now();
        sentinel.data_checksums = true;
        parts = {{"part_001.tar", {"/", "/base", "/base/5", "/base/5/100", "/PG_VERSION"}},
                 {"part_002.tar", {"/global", "/base/5/200", "/base/5/200_vm"}},
                 {"part_003.tar", {"/base/5/300"}}};
        for (const auto& [tar, members] : parts) {
            for (const auto& member : members) describe(member).modified = time_of(member);
            put(tar, "content of " + tar);
        }
    }
    ~Cluster() { io.join(); }

    void write(const std::string& file, std::size_t bytes) const {
        write_file_atomically(pgdata / file, bytes_of(std::string(bytes, 'x')), 0600);
        // Long ago, with a fraction.
        const timespec times[] = {{1'700'000'000, 123'456'789}, {1'700'000'000, 123'456'789}};
        REQUIRE(::utimensat(AT_FDCWD, (pgdata / file).c_str(), times, 0) == 0);
    }
    Time time_of(const std::string& member) const {
        struct stat about{};
        REQUIRE(::lstat((pgdata.path() + member).c_str(), &about) == 0);
        return Time(std::chrono::seconds(about.st_mtim.tv_sec) + std::chrono::nanoseconds(about.st_mtim.tv_nsec));
    }
    archive::FileDescription& describe(const std::string& member) { return files[member]; }
    void put(const std::string& tar, std::string_view content) {
        const auto key = archive::tar_key(former_name, tar);
        backend.loop.run(backend.storage().put(key, bytes_of(content), {}));
    }

    FormerParts former() {
        FilesSpool spool;
        for (const auto& [member, file] : files) spool.add(member, file);
        for (const auto& [tar, members] : parts) spool.part(tar, members);
        codec::BlobSink document;
        spool.finish(document);
        const auto blob = document.take();
        const auto key = archive::files_metadata_key(former_name);
        backend.loop.run(backend.storage().put(key, blob.view(), {}));
        FormerParts parts_of_it(archive, {former_name, sentinel}, {});
        parts_of_it.read_files();
        parts_of_it.look_at_parts();
        return parts_of_it;
    }
    std::vector<std::string> unchanged() {
        auto parts_of_it = former();
        PgdataWalk(pgdata.path()).run([&](const WalkedEntry& entry) { parts_of_it.meet(entry); });
        return parts_of_it.unchanged();
    }
    /// What a backup takes of it; `noted`: its files_metadata.json as far as it goes.
    PartsResult take(FormerParts& parts_of_it, std::string* noted = nullptr) {
        MemoryBudget places(16);
        Progress progress;
        StoredObjects stored;
        UploadRoom room{archive, 8 << 20, places, progress, stored, {}};
        const CopySource source{.log = *log};
        FilesSpool spool;
        PartsOptions options;
        options.pgdata = pgdata.path();
        options.backup = new_name;
        const auto result = parts_of_it.take(room, source, spool, options, 4);
        codec::BlobSink document;
        spool.finish(document);
        if (noted != nullptr) *noted = text_of(document.take().view());
        stored.require_all(archive, "basebackups_005/" + new_name + "/", {});
        return result;
    }
    std::vector<std::string> stored_tars() {
        std::vector<std::string> names;
        const auto page = backend.loop.run(storage::list_all(backend.storage(), archive::tar_folder(new_name), false));
        for (const auto& object : page.objects) names.push_back(object.key.path().substr(object.key.path().rfind('/') + 1));
        return names;
    }

    test::FileBackend backend;
    CopyingStorage storage{backend.storage()};
    asio::thread_pool io{1};
    MemoryBudget budget{64 << 20};
    std::shared_ptr<Log> log = silent_log();
    archive::Archive archive{
        storage, {codec::compression_by_name("none"), "", nullptr}, io.get_executor(), backend.pool(), budget, *log};
    test::TemporaryFolder pgdata;
    archive::Sentinel sentinel;
    std::map<std::string, archive::FileDescription> files;
    std::map<std::string, std::vector<std::string>> parts;
};

using Tars = std::vector<std::string>;

} // namespace

TEST_CASE("a part is taken over when all its files have the times that were noted, and its folders are there", "[backup]") {
    Cluster cluster;
    CHECK(cluster.unchanged() == Tars{"part_001.tar", "part_002.tar", "part_003.tar"});
    cluster.write("base/5/400", 10); // in none, and changes the folder's time
    CHECK(cluster.unchanged() == Tars{"part_001.tar", "part_002.tar", "part_003.tar"});
    cluster.describe("/base/5/200_vm").modified -= std::chrono::nanoseconds(1);
    CHECK(cluster.unchanged() == Tars{"part_001.tar", "part_003.tar"});
    std::filesystem::remove(cluster.pgdata / "base/5/300");
    CHECK(cluster.unchanged() == Tars{"part_001.tar"});
}

TEST_CASE("a part with an increment, of another packing, or that is gone or damaged is not taken over", "[backup]") {
    Cluster cluster;
    SECTION("an increment") { cluster.describe("/base/5/200").is_incremented = true; }
    SECTION("a file that is not in it") { cluster.describe("/base/5/200").is_skipped = true; }
    SECTION("not described") { cluster.files.erase("/base/5/200"); }
    SECTION("in two parts") { cluster.parts["part_003.tar"].emplace_back("/base/5/200"); }
    SECTION("gone") {
        std::vector<storage::ObjectKey> keys{archive::tar_key(former_name, "part_002.tar")};
        cluster.backend.loop.run(cluster.backend.storage().remove(keys));
    }
    SECTION("another packing") {
        auto& parts = cluster.parts;
        parts["part_002.tar.zst"] = parts["part_002.tar"];
        parts.erase("part_002.tar");
        cluster.put("part_002.tar.zst", "x");
    }
    SECTION("of another kind") {
        auto& parts = cluster.parts;
        parts["backup_label.tar"] = parts["part_002.tar"];
        parts.erase("part_002.tar");
        cluster.put("backup_label.tar", "x");
    }
    SECTION("damaged, as the last verify found") {
        const auto object = archive::tar_key(former_name, "part_002.tar").path();
        VerifyState state;
        state.damaged.push_back({object, "it is cut"});
        const auto text = to_json(state);
        cluster.backend.loop.run(cluster.backend.storage().put(verify_state_key(), bytes_of(text), {}));
    }
    const auto unchanged = cluster.unchanged();
    CHECK(std::ranges::count_if(unchanged, [](const auto& tar) { return tar.starts_with("part_002") || tar[0] == 'b'; }) == 0);
    CHECK(std::ranges::count(unchanged, "part_001.tar") == 1);
}

TEST_CASE("times of WAL-G's that are within a clock's step of its backup's start are no proof", "[backup]") {
    Cluster cluster;
    cluster.sentinel.data_checksums.reset();
    CHECK(cluster.unchanged().size() == 3);
    cluster.sentinel.start_time = cluster.time_of("/base/5/100") + std::chrono::seconds(1);
    CHECK(cluster.unchanged().empty());
    cluster.sentinel.data_checksums = true;
    CHECK(cluster.unchanged().size() == 3);
}

TEST_CASE("what is taken over is copied, described as before, and counted", "[backup]") {
    Cluster cluster;
    auto& damaged = cluster.describe("/base/5/100");
    damaged.corrupt_block_count = 2;
    damaged.corrupt_blocks = {3, 5};
    cluster.describe("/base/5/300").modified -= std::chrono::nanoseconds(1);
    auto former = cluster.former();
    std::string noted;
    const auto result = cluster.take(former, &noted);
    CHECK(cluster.stored_tars() == Tars{"copy_0.tar", "copy_1.tar"});
    CHECK(result.plain_bytes == 4 * 8192);
    CHECK(result.stored_bytes == 2 * std::string("content of part_001.tar").size());
    CHECK(result.corrupt_blocks == 2);
    CHECK_THAT(noted,
               Catch::Contains(R"("SomeCorruptBlocks":[3,5])") && Catch::Contains(R"("copy_1.tar":["/global","/base/5/200")"));
    CHECK_THAT(noted, !Catch::Contains("300") && !Catch::Contains(R"("/global":)") && !Catch::Contains("part_00"));
    std::size_t held = 0;
    PgdataWalk(cluster.pgdata.path()).run([&](const WalkedEntry& entry) { held += former.hold(entry) ? 1 : 0; });
    CHECK(held == 4); // the folders and 300 are not
}

TEST_CASE("a part that cannot be copied is left out, and nothing of it stays", "[backup]") {
    Cluster cluster;
    SECTION("the storage cannot") { cluster.storage.outcome = storage::CopyOutcome::unable; }
    SECTION("deleted meanwhile") { cluster.storage.outcome = storage::CopyOutcome::absent; }
    SECTION("says that it did, and did not") { cluster.storage.outcome = storage::CopyOutcome::copied; }
    SECTION("does not answer") { cluster.storage.fails = true; }
    auto former = cluster.former();
    std::string noted;
    const auto result = cluster.take(former, &noted);
    CHECK(cluster.storage.copies >= 1);
    CHECK(cluster.stored_tars().empty());
    CHECK(result.plain_bytes == 0);
    CHECK(noted.find("base") == std::string::npos);
    PgdataWalk(cluster.pgdata.path()).run([&](const WalkedEntry& entry) { CHECK_FALSE(former.hold(entry)); });
}

TEST_CASE("a part is not copied over what has its name already", "[backup]") {
    Cluster cluster;
    const auto key = archive::tar_key(new_name, "copy_0.tar");
    cluster.backend.loop.run(cluster.backend.storage().put(key, bytes_of(std::string_view("of another")), {}));
    auto former = cluster.former();
    CHECK(test::kind_of([&] { cluster.take(former); }) == ErrorKind::refused);
    CHECK(read_text_file(cluster.backend.folder / key.path(), 100) == "of another");
}

TEST_CASE("a file's rating is that of its relation, whatever fork, segment or tablespace it is", "[backup]") {
    Ratings ratings;
    ratings.add(5, 16384, 10);
    ratings.add(6, 16384, 2'000'000);
    ratings.add(0, 1260, 1001);
    ratings.seal();
    for (const auto* member :
         {"/base/5/16384", "/base/5/16384.1", "/base/5/16384_fsm", "/pg_tblspc/16400/PG_15_202209061/5/16384_vm"})
        CHECK(ratings.of(member) == 10);
    CHECK(ratings.of("/base/6/16384") == 2'000'000);
    CHECK(ratings.of("/global/1260") == 1001);
    for (const auto* member : {"/", "/base", "/base/5", "/base/5/16385", "/base/5/PG_VERSION", "/global/pg_filenode.map",
                               "/pg_xact/0000", "/16384", "backup_label"})
        CHECK(ratings.of(member) == 0);
    CHECK(ratings.class_of_member("/base/5/16384.1") == 1);
    CHECK(ratings.class_of_member("/base/5/16385") == 0);
    for (const auto* member : {"/", "/base", "/base/5", "/base/5/PG_VERSION", "/pg_xact/0000", "/pg_tblspc/16400"})
        CHECK(ratings.class_of_member(member) == Ratings::classes - 1);
    CHECK(Ratings::class_of(0) == 0);
    CHECK(Ratings::class_of(1) == 1);
    CHECK(Ratings::class_of(1'000) == 1);
    CHECK(Ratings::class_of(1'000'000) == 2);
    CHECK(Ratings::class_of(1'000'001) == 3);
    CHECK((ratings.has_class(0) && ratings.has_class(1) && ratings.has_class(2) && ratings.has_class(3)));
    CHECK_FALSE(Ratings().has_class(1));
}

} // namespace walgd::backup
