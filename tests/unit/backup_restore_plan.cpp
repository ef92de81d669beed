#include "common/archive/backup_chain.hpp"
#include "common/archive/layout.hpp"
#include "common/backup/member_name.hpp"
#include "common/backup/restore/database_filter.hpp"
#include "common/backup/restore/file_pages.hpp"
#include "common/backup/restore/glob.hpp"
#include "common/backup/restore/restore_files.hpp"
#include "common/backup/restore/restore_state.hpp"
#include "common/backup/restore/restore_target.hpp"
#include "common/base/files.hpp"
#include "tests/unit/has.hpp"
#include "tests/unit/memory_storage.hpp"

namespace walgd::backup {

using archive::FileDescription;
using archive::FilesMetadataReader;
using test::kind_of;
using test::text_of_error;
using Take = RestoreFiles::Take;

namespace {

std::string backup_name(int number) { return fmt::format("base_00000001000000000000{:04X}", number); }

/// Sentinels alone.
struct Chain {
    test::Loop loop;
    test::MemoryStorage storage{loop.executor()};

    archive::Sentinel& add(int number, int parent = 0, int root = 1) {
        auto& sentinel = sentinels[number];
        sentinel.start_lsn = pg::Lsn(static_cast<std::uint64_t>(number) * 100);
        sentinel.system = pg::SystemIdentifier(7);
        sentinel.version = 2;
        if (parent != 0)
            sentinel.delta = archive::DeltaOrigin{pg::Lsn(static_cast<std::uint64_t>(parent) * 100), backup_name(parent),
                                                  backup_name(root), 1};
        return sentinel;
    }
    std::vector<std::string> read(int number) {
        for (const auto& [each, sentinel] : sentinels)
            storage.objects[archive::sentinel_key(backup_name(each)).path()] = archive::to_json(sentinel);
        std::vector<std::string> names;
        for (const auto& link : loop.run(archive::read_chain(storage, backup_name(number)))) names.push_back(link.backup);
        return names;
    }
    std::string error(int number) {
        return text_of_error([&] { read(number); });
    }
    std::map<int, archive::Sentinel> sentinels;
};

constexpr FileDescription whole{};
const FileDescription skipped{
    .is_incremented = false, .is_skipped = true, .modified = {}, .corrupt_block_count = 0, .corrupt_blocks = {}};
const FileDescription incremented{
    .is_incremented = true, .is_skipped = false, .modified = {}, .corrupt_block_count = 0, .corrupt_blocks = {}};

const auto everything = [](std::string_view) { return true; };

using Links = std::vector<std::map<std::string, FileDescription>>;

void fill(RestoreFiles& files, const Links& links) {
    for (std::size_t link = 0; link < links.size(); ++link) {
        for (const auto& [name, description] : links[link]) files.file(link, name, description, everything);
        files.end_link(link, fmt::format("link {}", link));
    }
}

} // namespace

TEST_CASE("a chain is read from its sentinels, newest first", "[archive]") {
    Chain chain;
    chain.add(1);
    chain.add(2, 1);
    chain.add(3, 2);
    chain.add(9);
    CHECK(chain.read(3) == std::vector{backup_name(3), backup_name(2), backup_name(1)});
    CHECK(chain.read(1) == std::vector{backup_name(1)});
}

TEST_CASE("a chain with a hundred links is one", "[archive]") {
    Chain chain;
    chain.add(1);
    for (int number = 2; number <= 101; ++number) chain.add(number, number - 1);
    CHECK(chain.read(101).size() == 101);
}

TEST_CASE("a chain that is not one is refused, and why", "[archive]") {
    Chain chain;
    chain.add(1);
    chain.add(2, 1);
    chain.add(3, 2);
    SECTION("a loop") {
        chain.add(1, 3);
        CHECK(has(chain.error(3), "comes back to " + backup_name(3)));
    }
    SECTION("a delta on itself") {
        chain.add(3, 3);
        CHECK(has(chain.error(3), "comes back to"));
    }
    SECTION("a missing link") {
        chain.add(2, 8);
        CHECK(has(chain.error(3), "is a delta on " + backup_name(8) + ", which is not in memory"));
    }
    SECTION("a parent of another system") {
        chain.add(2, 1).system = pg::SystemIdentifier(8);
        CHECK(has(chain.error(3), "of system 8"));
    }
    SECTION("another backup under the parent's name") {
        chain.add(2, 1).start_lsn = pg::Lsn(999);
        CHECK(has(chain.error(3), "was made on a " + backup_name(2) + " that began at 0/C8"));
    }
    SECTION("another full backup than the deltas say") {
        chain.add(3, 2, 2);
        CHECK(has(chain.error(3), "its chain ends at " + backup_name(1)));
    }
    SECTION("a link of a newer version") {
        chain.add(1).version = 3;
        CHECK(has(chain.error(3), "version 3"));
        CHECK(kind_of([&] { chain.read(3); }) == ErrorKind::refused);
    }
    SECTION("a parent that is no backup's name") {
        chain.add(3, 2).delta->from = "../../base_x";
        CHECK(has(chain.error(3), "no backup's name"));
    }
}

TEST_CASE("every file is taken from its newest whole copy, with the increments that are newer", "[backup]") {
    RestoreFiles files(3);
    fill(files,
         {{{"same", skipped}, {"new", whole}, {"twice", incremented}, {"once", skipped}, {"rewritten", incremented}},
          {{"same", skipped}, {"twice", incremented}, {"once", incremented}, {"rewritten", whole}, {"dropped", incremented}},
          {{"same", whole}, {"twice", whole}, {"once", whole}, {"rewritten", whole}, {"dropped", whole}}});
    CHECK(files.take(2, "same") == Take::whole);
    CHECK(files.take(0, "new") == Take::whole);
    CHECK(files.take(0, "twice") == Take::increment);
    CHECK(files.take(1, "twice") == Take::increment);
    CHECK(files.take(2, "twice") == Take::below);
    CHECK(files.take(1, "once") == Take::increment);
    CHECK(files.take(2, "once") == Take::below);
    CHECK(files.take(1, "rewritten") == Take::below);
    CHECK(files.take(2, "rewritten") == Take::nothing);
    CHECK(files.take(2, "dropped") == Take::nothing);
    CHECK(files.take(0, "backup_label") == Take::whole);
    CHECK(files.take(1, "backup_label") == Take::nothing);
    CHECK(files.take(2, "global/pg_control") == Take::nothing);
}

TEST_CASE("what was not seen is missing, what comes twice is told", "[backup]") {
    RestoreFiles files(2);
    fill(files, {{{"a", incremented}, {"b", skipped}}, {{"a", whole}, {"b", whole}}});
    CHECK(files.missing_count() == 3);
    CHECK(files.see(0, "a"));
    CHECK_FALSE(files.see(0, "a"));
    CHECK(files.see(1, "a"));
    CHECK_FALSE(files.is_missing("a"));
    CHECK(files.is_missing("b"));
    CHECK(files.see(1, "b"));
    CHECK(files.missing_count() == 0);
}

TEST_CASE("metadata that contradicts itself or the tars is refused", "[backup]") {
    const auto error = [](const Links& links) {
        return text_of_error([&] {
            RestoreFiles files(links.size());
            fill(files, links);
        });
    };
    CHECK(has(error({{{"a", skipped}}, {{"b", whole}}}), "no whole copy of 1 files"));
    CHECK(has(error({{{"a", skipped}}, {{"a", skipped}}}), "no whole copy of 1 files"));
    CHECK(has(error({{{"a", incremented}}}), "no whole copy of 1 files"));
    CHECK(has(error({{{"a", skipped}}, {{"b", whole}}, {{"a", whole}}}), "link 1 does not know them"));
    auto both = skipped;
    both.is_incremented = true;
    CHECK(has(error({{{"a", both}}}), "both unchanged and an increment"));
    RestoreFiles files(2);
    fill(files, {{{"a", skipped}}, {{"a", whole}}});
    CHECK(has(text_of_error([&] { files.take(0, "a"); }), "says that it was unchanged"));
}

TEST_CASE("a full backup without files metadata is taken as it is, also below a delta", "[backup]") {
    RestoreFiles alone(1);
    alone.no_metadata(0);
    CHECK(alone.take(0, "anything") == Take::whole);
    CHECK(alone.see(0, "anything"));
    CHECK_FALSE(alone.see(0, "anything"));
    CHECK(alone.knows("anything"));
    CHECK(alone.missing_count() == 0);
    RestoreFiles files(2);
    files.file(0, "a", incremented, everything);
    files.file(0, "b", whole, everything);
    files.end_link(0, "delta");
    files.no_metadata(1);
    CHECK(files.take(1, "a") == Take::below);
    CHECK(files.take(1, "b") == Take::nothing);
    CHECK(files.take(1, "c") == Take::nothing);
}

TEST_CASE("pages count once, the newest first, and only as far as the file went in between", "[backup]") {
    FilePages pages(10 * 512, 512);
    pages.add({1, 9}, 10 * 512);
    CHECK_FALSE(pages.wants(512 + 5));
    CHECK(pages.wants(0));
    pages.add({2, 9}, 5 * 512); // the file was cut to five pages and grew again
    CHECK(pages.limit() == 5 * 512);
    CHECK(pages.wants(4 * 512));
    CHECK_FALSE(pages.wants(5 * 512));
    CHECK(pages.has(9));
    auto run = pages.wanted_run(0, 10 * 512);
    CHECK((run.begin == 0 && run.end == 512));
    run = pages.wanted_run(run.end + 100, 10 * 512);
    CHECK((run.begin == 3 * 512 && run.end == 5 * 512));
    run = pages.wanted_run(run.end, 10 * 512);
    CHECK(run.begin == run.end);
    run = pages.wanted_run(100, 200);
    CHECK((run.begin == 100 && run.end == 200));
}

TEST_CASE("a page map comes back from its text; a text that is none is an empty map", "[backup]") {
    FilePages pages(300 * 512 + 7, 512);
    pages.add({0, 1, 2, 63, 64, 130, 299}, 200 * 512);
    CHECK(pages.text() == "25807 19000 0-2 3f-40 82 12b");
    const auto again = FilePages::parse(pages.text(), 512);
    CHECK(again.text() == pages.text());
    for (const auto* text : {"", "x", "25807", "25807 ", "19000 25807", "200 200 5-1", "200 200 ffffff", "200 200 1x",
                             "ffffffffffff 0", "200 200  1", "200 200 -"})
        CHECK(FilePages::parse(text, 512).file_bytes() == 0);
}

TEST_CASE("a mask is Go's filepath.Match", "[backup]") {
    CHECK(glob_match("/base/*/1259", "/base/5/1259"));
    CHECK_FALSE(glob_match("/base/*", "/base/5/1259"));
    CHECK(glob_match("/*/*/*", "/base/5/1259"));
    CHECK(glob_match("/base/?/12[0-9]9*", "/base/5/1259_fsm"));
    CHECK_FALSE(glob_match("/base/[^5]/1259", "/base/5/1259"));
    CHECK(glob_match("/a\\*b", "/a*b"));
    CHECK_FALSE(glob_match("/a\\*b", "/axb"));
    CHECK(glob_match("/[\\]a]", "/]"));
    CHECK(glob_match("*", ""));
    CHECK_FALSE(glob_match("", "x"));
    CHECK(glob_match("*a*b", "xxaxxab"));
    for (const auto* pattern : {"[", "[]", "[a", "[a-]", "[-a]", "x\\", "[a-"})
        CHECK(kind_of([&] { glob_match(pattern, "abc"); }) == ErrorKind::misconfigured);
}

namespace {

DatabaseFilter filter_of(const std::string& list) {
    DatabaseFilter filter(list);
    std::string text = R"({"DatabasesByNames":{
        "shop":{"oid":16400,"tables_new":{"pg_catalog.pg_class":{"oid":1259,"relfilenode":1259},
            "pg_toast.pg_toast_16500":{"oid":16503,"relfilenode":16503},"pg_toast.pg_toast_16500_index":{"oid":16504,"relfilenode":16504},
            "public.orders":{"oid":16500,"relfilenode":16600},"public.orders_pkey":{"oid":16505,"relfilenode":16505},
            "sales.parted":{"oid":16510,"relfilenode":0,"subtables":{"sales.p1":{"oid":16511,"relfilenode":16511},
                "sales.p2":{"oid":16512,"relfilenode":0},"sales.p2_1":{"oid":16513,"relfilenode":16513}}}}},
        "old":{"oid":16401,"tables":{"public.t":16700,"pg_catalog.pg_class":1259}},
        "postgres":{"oid":5,"tables_new":{"pg_catalog.pg_class":{"oid":1259,"relfilenode":1259}}}}})";
    FilesMetadataReader::Callbacks callbacks;
    callbacks.relation = [&](const archive::RelationEntry& relation) { filter.add_relation(relation); };
    callbacks.database = [&](std::string_view name, std::uint32_t oid) { filter.end_database(name, oid); };
    FilesMetadataReader reader(std::move(callbacks), "metadata");
    reader.write(text);
    reader.finish();
    filter.finish("base_x");
    return filter;
}

} // namespace

TEST_CASE("a partial restore has the named tables with their TOAST and partitions, and all catalogs", "[backup]") {
    const auto filter = filter_of("shop/orders,shop/sales.parted");
    for (const auto* name :
         {"PG_VERSION", "global/1262", "base/5/99999", "base/16400/PG_VERSION", "base/16400/pg_filenode.map", "base/16400/1259",
          "base/16400/1259_fsm", "base/16400/16600", "base/16400/16600.1", "base/16400/16503", "base/16400/16504",
          "base/16400/16511", "pg_tblspc/17000/PG_15_1/16400/16600", "base/16401/1259"})
        CHECK(filter.wants(name));
    for (const auto* name :
         {"base/16400/16505", "base/16401/16700", "base/16402/1259", "pg_tblspc/17000/PG_15_1/16400/16505", "base/16400/16500"})
        CHECK_FALSE(filter.wants(name));
}

TEST_CASE("a partial restore tells of a partition that has partitions which the backup does not tell as its own", "[backup]") {
    CHECK(filter_of("shop/sales.parted").wants("base/16400/16513"));
    CHECK(filter_of("shop/sales.p2").half_told() == std::vector<std::string>{"shop/sales.p2, of sales.parted"});
    for (const auto* list : {"shop/sales.parted", "shop", "shop/sales.p2,shop/sales.parted", "shop/sales.p*", "shop/sales.p1"})
        CHECK(filter_of(list).half_told().empty());
}

TEST_CASE("a partial restore takes whole databases, stars, and WAL-G's ways to name a table", "[backup]") {
    CHECK(filter_of("shop").wants("base/16400/16505"));
    CHECK_FALSE(filter_of("shop").wants("base/16401/16700"));
    CHECK(filter_of("*").wants("base/16401/16700"));
    CHECK(filter_of("shop/orders*").wants("base/16400/16505"));
    CHECK(filter_of("shop/sales/parted").wants("base/16400/16511"));
    CHECK(filter_of("old/t").wants("base/16401/16700"));
    CHECK(filter_of("1,4,5,16401").wants("base/16401/16700"));
    CHECK_FALSE(filter_of("1,4,5,16401").wants("base/16400/16505"));
    CHECK(filter_of("16400/orders").wants("base/16400/16600"));
    CHECK(has(text_of_error([] { filter_of("5/none,16402"); }), "no 5/none, 16402"));
    CHECK(has(text_of_error([] { filter_of("shop,shop/nothing,nowhere"); }), "no shop/nothing, nowhere"));
    for (const auto* list : {"", "a,", ",a", "a/", "/a"})
        CHECK(kind_of([&] { DatabaseFilter filter(list); }) == ErrorKind::misconfigured);
}

TEST_CASE("names of members lead nowhere else, and not to what a restore keeps for itself", "[backup]") {
    CHECK(relative_member("/").empty());
    CHECK(relative_member("/base/1/1259") == "base/1/1259");
    CHECK(relative_member("./pg_wal/archive_status/") == "pg_wal/archive_status");
    CHECK(relative_member("//etc/./passwd") == "etc/passwd");
    for (const auto name :
         {std::string_view("../x"), std::string_view("/base/../../x"), std::string_view(".."), std::string_view("a\0b", 3),
          std::string_view("/walgd-restore.state"), std::string_view("global/./pg_control.walgd-restoring")})
        CHECK(kind_of([&] { relative_member(name); }) == ErrorKind::corrupt);
}

TEST_CASE("where files may take less than their sizes, too little space is no refusal", "[backup]") {
    CHECK(may_compress(0x9123683E));       // btrfs
    CHECK(may_compress(0x2FC12FC1));       // ZFS
    CHECK_FALSE(may_compress(0xEF53));     // ext4
    CHECK_FALSE(may_compress(0x01021994)); // tmpfs
}

TEST_CASE("a name that is no UTF-8 is known again from the JSON of ours and of WAL-G's", "[backup]") {
    // Two bytes of a character that has three: one replacement in ours, two in Go's.
    const auto in_tar = hash_of_name("a\xE2\x82/b");
    CHECK(in_tar == hash_of_name("a\xEF\xBF\xBD/b"));
    CHECK(in_tar == hash_of_name("a\xEF\xBF\xBD\xEF\xBF\xBD/b"));
    CHECK(in_tar != hash_of_name("a/b"));
    CHECK(hash_of_name("\xEF\xBF\xBD/\xEF\xBF\xBD") != hash_of_name("\xEF\xBF\xBD"));
}

TEST_CASE("the state of a restore comes back as far as its blocks are whole", "[backup]") {
    RestoreState::TarMark first{"basebackups_005/x/part_001.tar",
                                {{0xfedcba9876543210, 8192, -5}},
                                {{17, 0600, "2000 2000 1"}},
                                {"base/5", ""},
                                {{"a b\n", "/x"}}};
    RestoreState::TarMark second{"basebackups_005/x/part_002.tar", {}, {}, {}, {}};
    const auto text = compose_tar_mark(first) + compose_tar_mark(second);
    const auto first_bytes = compose_tar_mark(first).size();
    for (std::size_t count = 0; count <= text.size(); ++count) {
        std::size_t good = 0;
        const auto marks = parse_tar_marks(std::string_view(text).substr(0, count), good);
        const std::size_t expected = count == text.size() ? 2 : count >= first_bytes ? 1 : 0;
        CHECK(marks.size() == expected);
        CHECK(good == (expected == 2 ? text.size() : expected * first_bytes));
    }
    std::size_t good = 0;
    const auto marks = parse_tar_marks(text, good);
    REQUIRE(marks.size() == 2);
    CHECK(marks[0].key == first.key);
    CHECK(marks[0].files[0].name == first.files[0].name);
    CHECK(marks[0].files[0].modified_ns == -5);
    CHECK(marks[0].pages[0].pages == "2000 2000 1");
    CHECK(marks[0].folders == first.folders);
    CHECK(marks[0].links[0].first == "a b\n");
    for (std::size_t at = 0; at < first_bytes; ++at) {
        auto damaged = text;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        CHECK(parse_tar_marks(damaged, good).empty());
    }
}

TEST_CASE("the state of a restore is of that restore and of one process", "[backup]") {
    test::TemporaryFolder folder;
    CHECK_FALSE(RestoreState::exists(folder.path()));
    {
        RestoreState state(folder.path());
        state.start("identity", true);
        state.add({"a", {}, {}, {}, {}});
        CHECK(RestoreState::exists(folder.path()));
        RestoreState other(folder.path());
        CHECK(kind_of([&] { other.load("identity"); }) == ErrorKind::refused);
    }
    CHECK_FALSE(RestoreState(folder.path()).load("another"));
    {
        RestoreState state(folder.path());
        CHECK(state.load("identity"));
        CHECK(state.holds());
        CHECK(state.done().size() == 1);
        state.start("identity", false);
        state.add({"b", {}, {}, {}, {}});
    }
    auto text = read_text_file(folder / std::string(restore_state_name));
    {
        RestoreState state(folder.path());
        CHECK(state.load("identity"));
        CHECK(state.done().size() == 2);
        state.remove();
    }
    // Another boot of the host: what was not on disk may be gone.
    text[text.find('\n') - 1] = text[text.find('\n') - 1] == 'x' ? 'y' : 'x';
    write_file_atomically(folder / std::string(restore_state_name), bytes_of(text), 0600);
    RestoreState state(folder.path());
    CHECK(state.load("identity"));
    CHECK_FALSE(state.holds());
    CHECK(state.done().empty());
}

} // namespace walgd::backup
