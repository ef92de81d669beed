#include "common/archive/documents.hpp"
#include "common/archive/layout.hpp"
#include "common/backup/push/delta_files.hpp"
#include "common/backup/restore/catchup_target.hpp"
#include "common/backup/restore/restore_files.hpp"
#include "common/base/files.hpp"
#include "tests/unit/has.hpp"
#include "tests/unit/memory_storage.hpp"

#include <filesystem>
#include <sys/stat.h>

namespace walgd::backup {

using pg::Lsn;
using pg::TimelineId;
using test::text_of_error;

namespace {

/// A standby that replayed up to 0/300, with restartpoint and pages on disk at 0/200.
pg::ControlFile standby() {
    pg::ControlFile control;
    control.catalog_version = 1;
    control.state = pg::ControlFile::shut_down_in_recovery;
    control.redo = Lsn(0x200);
    control.checkpoint = Lsn(0x220);
    control.min_recovery = Lsn(0x300);
    control.timeline = TimelineId(1);
    return control;
}

/// Of what changed since 0/200, from 0/500 to 0/600.
CatchupFacts backup() {
    CatchupFacts facts;
    facts.backup = "base_000000010000000000000005";
    facts.from = Lsn(0x200);
    facts.finish = Lsn(0x600);
    facts.control = standby();
    return facts;
}

std::string refusal(const pg::ControlFile& control, const CatchupFacts& facts) {
    return text_of_error([&] { require_lagging_standby("/data", control, facts); });
}

} // namespace

TEST_CASE("a standby catches up with a backup of what changed since what it has on its disk", "[backup]") {
    CHECK_NOTHROW(require_lagging_standby("/data", standby(), backup()));
    auto crashed = standby();
    crashed.state = pg::ControlFile::in_archive_recovery;
    CHECK_NOTHROW(require_lagging_standby("/data", crashed, backup()));
    auto earlier = backup();
    earlier.from = Lsn(0);
    CHECK_NOTHROW(require_lagging_standby("/data", standby(), earlier));
}

TEST_CASE("a standby that lacks pages which the backup lacks too is refused, with the place to name", "[backup]") {
    auto later = backup();
    later.from = Lsn(0x201);
    CHECK(has(refusal(standby(), later), "between them pages would be missing"));
    try {
        require_lagging_standby("/data", standby(), later);
    } catch (const Error& error) {
        CHECK(has(error.hint(), "--from-lsn 512"));
    }
}

TEST_CASE("a standby that is ahead of the backup is refused", "[backup]") {
    auto ahead = standby();
    ahead.min_recovery = Lsn(0x600);
    CHECK_NOTHROW(require_lagging_standby("/data", ahead, backup()));
    ahead.min_recovery = Lsn(0x601);
    CHECK(has(refusal(ahead, backup()), "is at 0/601 already"));
}

TEST_CASE("what has left the history of the backup's server is refused", "[backup]") {
    auto on_two = backup();
    on_two.history = {TimelineId(2), {{TimelineId(1), Lsn(0x300)}}};
    CHECK_NOTHROW(require_lagging_standby("/data", standby(), on_two));
    on_two.history.past[0].end = Lsn(0x2FF);
    CHECK(has(refusal(standby(), on_two), "left before, at 0/2FF"));
    auto on_three = standby();
    on_three.timeline = TimelineId(3);
    CHECK(has(refusal(on_three, on_two), "not in the history"));
    CHECK(has(refusal(on_three, backup()), "not in the history"));
}

TEST_CASE("a primary, another version and other checksums are refused", "[backup]") {
    auto primary = standby();
    primary.state = 1;
    CHECK(has(refusal(primary, backup()), "was no standby"));
    auto newer = backup();
    newer.control.catalog_version = 2;
    CHECK(has(refusal(standby(), newer), "another version"));
    auto checked = backup();
    checked.control.data_checksum_version = 1;
    CHECK(has(refusal(standby(), checked), "page checksums are off in /data and on in"));
}

TEST_CASE("for a standby every relation goes by its pages, except in databases that may have been copied", "[backup]") {
    char name[] = "/tmp/walgd-catchup.XXXXXX";
    const std::string root = ::mkdtemp(name);
    for (const auto* folder : {"global", "base/5"}) std::filesystem::create_directories(root + "/" + folder);
    for (const auto* file : {"PG_VERSION", "base/5/PG_VERSION", "base/5/100", "base/5/100_vm", "base/5/100_fsm"})
        write_file_atomically(root + "/" + file, bytes_of(std::string(8192, 'x')), 0600);
    const auto way = [&](const std::string& member, std::optional<Time> databases_since) {
        const ParentFiles none;
        const DeltaFiles::Options options{.pgdata = root,
                                          .parent_start = Lsn(100),
                                          .hint_bits_logged = false,
                                          .for_standby = true,
                                          .databases_since = databases_since};
        DeltaFiles rules(options, none, nullptr);
        WalkedEntry entry{member, root + member, WalkedEntry::Type::file, {}, {}};
        REQUIRE(::lstat(entry.path.c_str(), &entry.about) == 0);
        CHECK(rules.may_be_visible_unlogged(entry) == (member == "/base/5/100"));
        return rules.way(entry);
    };
    using Way = DeltaFiles::Way;
    CHECK(way("/base/5/100", std::nullopt) == Way::pages);
    const auto now = std::chrono::time_point_cast<Time::duration>(std::chrono::system_clock::now());
    CHECK(way("/base/5/100", now + std::chrono::hours(1)) == Way::pages);
    CHECK(way("/base/5/100", now - std::chrono::hours(1)) == Way::whole);
    CHECK(way("/base/5/100", Time::min()) == Way::whole);
    std::filesystem::remove_all(root);
}

TEST_CASE("a catchup backup's increments build on files that nothing is fetched for", "[backup]") {
    const auto wanted = [](std::string_view) { return true; };
    archive::FileDescription whole, increment;
    increment.is_incremented = true;
    RestoreFiles files(2);
    files.file(0, "base/5/1", increment, wanted);
    files.file(0, "PG_VERSION", whole, wanted);
    files.end_link(0, "base_000000010000000000000005");
    files.own_files(1);
    CHECK(files.take(0, "base/5/1") == RestoreFiles::Take::increment);
    CHECK(files.take(0, "PG_VERSION") == RestoreFiles::Take::whole);
    CHECK(files.missing_count() == 2);
    CHECK(files.see(0, "base/5/1"));
    CHECK_FALSE(files.see(0, "base/5/1"));
    CHECK(files.is_missing("PG_VERSION"));
    CHECK(files.see(0, "PG_VERSION"));
    CHECK(files.missing_count() == 0);
}

TEST_CASE("a catchup backup's sentinel says since when, and names no parent", "[archive]") {
    archive::Sentinel sentinel;
    sentinel.start_lsn = Lsn(0x500);
    sentinel.finish_lsn = Lsn(0x600);
    sentinel.delta = archive::DeltaOrigin{Lsn(0x200), "", "", 1};
    sentinel.version = 2;
    const auto text = to_json(sentinel);
    CHECK(has(text, R"("DeltaLSN":512,"DeltaFrom":"","DeltaFullName":"","DeltaCount":1)"));
    const auto read = archive::parse_sentinel(text, "s");
    REQUIRE(read.delta);
    CHECK(read.delta->lsn == Lsn(0x200));
    CHECK(read.delta->from.empty());
    CHECK(to_json(read) == text);
    CHECK_FALSE(archive::parse_sentinel(R"({"LSN":1,"DeltaFrom":""})", "s").delta);
}

TEST_CASE("catchup backups have the layout of base backups in a folder of their own", "[archive]") {
    const auto folder = archive::catchup_folder;
    CHECK(archive::sentinel_key("base_1", folder).path() == "catchup_005/base_1_backup_stop_sentinel.json");
    CHECK(archive::metadata_key("base_1", folder).path() == "catchup_005/base_1/metadata.json");
    CHECK(archive::files_metadata_key("base_1", folder).path() == "catchup_005/base_1/files_metadata.json");
    CHECK(archive::tar_key("base_1", "part_001.tar", folder).path() == "catchup_005/base_1/tar_partitions/part_001.tar");
    CHECK(archive::timeline_of("base_0000000A0000000000000005") == TimelineId(10));
    CHECK_FALSE(archive::timeline_of("base_5"));
}

} // namespace walgd::backup
