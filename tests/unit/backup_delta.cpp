#include "common/backup/push/change_source.hpp"
#include "common/backup/push/delta_files.hpp"
#include "common/backup/push/delta_parent.hpp"
#include "common/base/error.hpp"
#include "common/base/files.hpp"

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>

namespace walgd::backup {

namespace {

using pg::Lsn;
using pg::TimelineId;

DeltaParent parent_named(const std::string& name, Lsn start, Lsn finish) {
    archive::ChainLink link{name, {}};
    link.sentinel.start_lsn = start;
    link.sentinel.finish_lsn = finish;
    return {{link}};
}

const std::string on_one = "base_000000010000000000000002";

/// A data directory of a few files, and the list of them that a parent has.
struct DeltaCluster {
    DeltaCluster() {
        char name[] = "/tmp/walgd-delta.XXXXXX";
        root = ::mkdtemp(name);
        for (const auto* folder : {"global", "base/5"}) std::filesystem::create_directories(root + "/" + folder);
        for (const auto* file :
             {"PG_VERSION", "global/pg_control", "base/5/PG_VERSION", "base/5/100", "base/5/100_vm", "base/5/200"})
            write(file);
    }
    ~DeltaCluster() { std::filesystem::remove_all(root); }

    void write(const std::string& file, std::size_t bytes = 8192) const {
        write_file_atomically(root + "/" + file, bytes_of(std::string(bytes, 'x')), 0600);
    }
    WalkedEntry entry(const std::string& member) const {
        WalkedEntry entry{member, root + member, WalkedEntry::Type::file, {}, {}};
        if (::lstat(entry.path.c_str(), &entry.about) != 0) throw_errno("cannot look at " + entry.path);
        return entry;
    }
    /// Every file as it is now.
    ParentFiles files() const {
        ParentFiles files;
        for (const auto& file : std::filesystem::recursive_directory_iterator(root)) {
            struct stat about{};
            ::lstat(file.path().c_str(), &about);
            files.add(file.path().string().substr(root.size()),
                      Time(std::chrono::seconds(about.st_mtim.tv_sec) + std::chrono::nanoseconds(about.st_mtim.tv_nsec)));
        }
        files.seal();
        return files;
    }
    std::string root;
};

using Way = DeltaFiles::Way;

} // namespace

TEST_CASE("a delta is taken on a parent of the server's own history that ended before it starts", "[backup]") {
    const auto parent = parent_named(on_one, Lsn(0x2000028), Lsn(0x2000100));
    const pg::BackupStart same{Lsn(0x4000028), TimelineId(1), ""}, promoted{Lsn(0x4000028), TimelineId(3), ""};
    CHECK(reason_against(parent, same, {}).empty());
    CHECK(reason_against(parent, promoted, {TimelineId(3), {{TimelineId(1), Lsn(0x2000100)}, {TimelineId(2), Lsn(0x3000000)}}})
              .empty());
    CHECK_THAT(reason_against(parent, promoted, {TimelineId(3), {{TimelineId(1), Lsn(0x20000FF)}}}),
               Catch::Contains("left timeline 1 before"));
    CHECK_THAT(reason_against(parent, promoted, {TimelineId(3), {{TimelineId(2), Lsn(0x3000000)}}}),
               Catch::Contains("not in the history"));
    CHECK_THROWS_WITH(reason_against(parent, {Lsn(0x2000080), TimelineId(1), ""}, {}),
                      Catch::Contains("greater than current LSN"));
}

TEST_CASE("the range between two backups is cut where timelines were left", "[backup]") {
    const ChangeRange range{Lsn(100), Lsn(500), {TimelineId(3), {{TimelineId(1), Lsn(200)}, {TimelineId(2), Lsn(300)}}}};
    CHECK((range.pieces() == std::vector<pg::WalRange>{{TimelineId(1), Lsn(100), Lsn(200)},
                                                       {TimelineId(2), Lsn(200), Lsn(300)},
                                                       {TimelineId(3), Lsn(300), Lsn(500)}}));
    const ChangeRange later{Lsn(300), Lsn(400), range.history};
    CHECK((later.pieces() == std::vector<pg::WalRange>{{TimelineId(3), Lsn(300), Lsn(400)}}));
}

TEST_CASE("files of main forks are told by their place", "[backup]") {
    const auto place = relation_place("/pg_tblspc/16384/PG_15_202209061/5/16385.3");
    REQUIRE(place);
    CHECK((place->relation == pg::RelationId{16384, 5, 16385}));
    CHECK(place->segment == 3);
    CHECK(place->folder == "/pg_tblspc/16384/PG_15_202209061/5");
    CHECK((relation_place("/base/1/1259")->relation == pg::RelationId{1663, 1, 1259}));
    for (const auto* other : {"/base/5/16385_fsm", "/base/5/16385_init", "/base/5/PG_VERSION", "/base/5", "/global/1262",
                              "/pg_xact/0000", "base/5/1", "/pg_tblspc/x/PG_15/5/1", "/base/5/99999999999"})
        CHECK_FALSE(relation_place(other));
}

TEST_CASE("a file is skipped, taken by its pages, or whole, as the parent knew it", "[backup]") {
    const DeltaCluster cluster;
    auto files = cluster.files();
    const DeltaFiles::Options options{.pgdata = cluster.root, .parent_start = Lsn(100), .hint_bits_logged = true};
    DeltaFiles rules(options, files, nullptr);
    CHECK(rules.way(cluster.entry("/base/5/100")) == Way::skip);
    CHECK(rules.way(cluster.entry("/PG_VERSION")) == Way::skip);
    cluster.write("base/5/100", 3 * 8192);
    CHECK(rules.way(cluster.entry("/base/5/100")) == Way::pages);
    cluster.write("base/5/100", 8193);
    CHECK(rules.way(cluster.entry("/base/5/100")) == Way::whole);
    cluster.write("base/5/100", 0);
    CHECK(rules.way(cluster.entry("/base/5/100")) == Way::whole);
    cluster.write("base/5/100_vm");
    CHECK(rules.way(cluster.entry("/base/5/100_vm")) == Way::whole);
    cluster.write("base/5/300");
    CHECK(rules.way(cluster.entry("/base/5/300")) == Way::whole);
}

TEST_CASE("in a database's folder that was made anew everything is taken whole", "[backup]") {
    const DeltaCluster cluster;
    auto files = cluster.files();
    cluster.write("base/5/100");
    cluster.write("base/5/PG_VERSION");
    const DeltaFiles::Options options{.pgdata = cluster.root, .parent_start = Lsn(100)};
    CHECK(DeltaFiles(options, files, nullptr).way(cluster.entry("/base/5/100")) == Way::whole);
    // The cluster was restored since: all is new, pg_control last.
    cluster.write("PG_VERSION");
    cluster.write("global/pg_control");
    CHECK(DeltaFiles(options, files, nullptr).way(cluster.entry("/base/5/100")) == Way::pages);
}

TEST_CASE("changes give the blocks of each file of a relation, and all behind a truncation", "[backup]") {
    const DeltaCluster cluster;
    auto files = cluster.files();
    for (const auto* file : {"base/5/100", "base/5/200"}) cluster.write(file, 10 * 8192);
    pg::BlockChanges changes;
    const pg::RelationId relation{1663, 5, 100};
    for (const auto block : {1U, 4U, 50U, 131072U + 2}) changes.of(relation).blocks.add(block);
    const DeltaFiles::Options options{.pgdata = cluster.root, .parent_start = Lsn(100)};
    DeltaFiles rules(options, files, &changes);
    CHECK((rules.changed_blocks(cluster.entry("/base/5/100")) == std::vector<std::uint32_t>{1, 4}));
    CHECK((rules.changed_blocks(cluster.entry("/base/5/200")) == std::vector<std::uint32_t>{}));
    auto second = cluster.entry("/base/5/100");
    second.member = "/base/5/100.1";
    CHECK((rules.changed_blocks(second) == std::vector<std::uint32_t>{2}));
    changes.of(relation).truncate(7);
    CHECK((rules.changed_blocks(cluster.entry("/base/5/100")) == std::vector<std::uint32_t>{1, 4, 7, 8, 9}));
    CHECK_FALSE(rules.changed_blocks(second));
    changes.of(relation).truncate(0);
    CHECK_FALSE(rules.changed_blocks(cluster.entry("/base/5/100")));
    CHECK(rules.way(cluster.entry("/base/5/200")) == Way::pages);
    changes.replace_database(1663, 5);
    CHECK(rules.way(cluster.entry("/base/5/200")) == Way::whole);
}

TEST_CASE("pages may be all-visible without a new LSN where the map was written and hint bits are not logged", "[backup]") {
    const DeltaCluster cluster;
    auto files = cluster.files();
    const DeltaFiles::Options options{.pgdata = cluster.root, .parent_start = Lsn(100)};
    CHECK_FALSE(DeltaFiles(options, files, nullptr).may_be_visible_unlogged(cluster.entry("/base/5/100")));
    CHECK_FALSE(DeltaFiles(options, files, nullptr).may_be_visible_unlogged(cluster.entry("/base/5/200")));
    cluster.write("base/5/100_vm");
    CHECK(DeltaFiles(options, files, nullptr).may_be_visible_unlogged(cluster.entry("/base/5/100")));
    auto logged = options;
    logged.hint_bits_logged = true;
    CHECK_FALSE(DeltaFiles(logged, files, nullptr).may_be_visible_unlogged(cluster.entry("/base/5/100")));
}

} // namespace walgd::backup
