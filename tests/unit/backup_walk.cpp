#include "common/backup/pgdata_walk.hpp"

#include "common/base/files.hpp"
#include "tests/unit/async_support.hpp"

namespace walgd::backup {

namespace fs = std::filesystem;

namespace {

struct Tree {
    test::TemporaryFolder folder;
    Tree& file(const std::string& name, const std::string& content = "x") {
        const auto path = folder / name;
        fs::create_directories(fs::path(path).parent_path());
        write_file_atomically(path, bytes_of(content), 0600);
        return *this;
    }
    std::vector<std::string> members(std::span<const std::string_view> left_out = {}) {
        std::vector<std::string> members;
        PgdataWalk(folder.path(), left_out).run([&](const WalkedEntry& entry) { members.push_back(entry.member); });
        return members;
    }
};

} // namespace

TEST_CASE("a walk goes depth first in byte order, folders before what is in them", "[backup]") {
    Tree tree;
    tree.file("base/5/1259").file("base/10/2").file("base/1/3").file("PG_VERSION").file("global/1262").file("global/pg_control");
    CHECK(tree.members() == std::vector<std::string>{"/", "/PG_VERSION", "/base", "/base/1", "/base/1/3", "/base/10",
                                                     "/base/10/2", "/base/5", "/base/5/1259", "/global", "/global/1262"});
}

TEST_CASE("what a base backup must not hold is left out; excluded folders come empty", "[backup]") {
    Tree tree;
    for (const auto* name :
         {"pg_wal/000000010000000000000001", "pg_replslot/s/state", "pg_stat_tmp/x", "pg_subtrans/0000", "log/today.log",
          "postmaster.pid", "postmaster.opts", "backup_label", "tablespace_map", "backup_manifest", "standby.signal",
          "postgresql.auto.conf.tmp", "base/pgsql_tmp/pgsql_tmp1.0", "base/5/pg_internal.init", "global/pg_internal.init.99"})
        tree.file(name);
    tree.file("postgresql.conf").file("base/5/backup_label");
    CHECK(tree.members() == std::vector<std::string>{"/", "/base", "/base/5", "/base/5/backup_label", "/base/pgsql_tmp",
                                                     "/global", "/log", "/pg_replslot", "/pg_stat_tmp", "/pg_subtrans", "/pg_wal",
                                                     "/postgresql.conf"});
}

TEST_CASE("what a killed restore left is left out, for no restore would take it", "[backup]") {
    Tree tree;
    tree.file("walgd-restore.state").file("global/pg_control.walgd-restoring").file("base/walgd-restore.state");
    CHECK(tree.members() == std::vector<std::string>{"/", "/base", "/base/walgd-restore.state", "/global"});
}

TEST_CASE("what a standby keeps of its own is left out at any depth where it is asked for", "[backup]") {
    Tree tree;
    for (const auto* name : {"pg_hba.conf", "postgresql.conf", "postgresql.auto.conf", "pg_ident.conf", "base/postgresql.conf"})
        tree.file(name);
    CHECK(tree.members(own_settings) == std::vector<std::string>{"/", "/base", "/pg_ident.conf"});
    CHECK(tree.members().size() == 7);
}

TEST_CASE("of unlogged relations only the init fork goes along, of temporary ones nothing", "[backup]") {
    Tree tree;
    for (const auto* name : {"16385", "16385.1", "16385_fsm", "16385_init", "16386", "16386_vm", "t3_16450", "t3_16450_fsm",
                             "t3_16450.1", "t_notes"})
        tree.file(std::string("base/5/") + name);
    CHECK(tree.members() == std::vector<std::string>{"/", "/base", "/base/5", "/base/5/16385_init", "/base/5/16386",
                                                     "/base/5/16386_vm", "/base/5/t_notes"});
}

TEST_CASE("a tablespace's content comes before pg_tblspc, without its link and root", "[backup]") {
    Tree tree, space;
    space.file("PG_15_202209061/5/16385");
    tree.file("pg_tblspc/20000/PG_15_202209061/5/1"); // in place
    fs::create_directory_symlink(space.folder.path(), tree.folder / "pg_tblspc/16384");
    CHECK(tree.members() == std::vector<std::string>{"/", "/pg_tblspc/16384/PG_15_202209061",
                                                     "/pg_tblspc/16384/PG_15_202209061/5",
                                                     "/pg_tblspc/16384/PG_15_202209061/5/16385", "/pg_tblspc", "/pg_tblspc/20000",
                                                     "/pg_tblspc/20000/PG_15_202209061", "/pg_tblspc/20000/PG_15_202209061/5",
                                                     "/pg_tblspc/20000/PG_15_202209061/5/1"});
}

TEST_CASE("tablespaces that were not there when the backup began are left out, for the WAL makes them", "[backup]") {
    Tree tree, space;
    space.file("PG_15_202209061/5/16385");
    tree.file("pg_tblspc/20000/PG_15_202209061/5/1"); // in place
    for (const auto* name : {"16384", "16390", "mine"})
        fs::create_directory_symlink(space.folder.path(), tree.folder / (std::string("pg_tblspc/") + name));
    std::vector<std::string> members;
    PgdataWalk walk(tree.folder.path());
    walk.leave_out_tablespaces_but({"16384"});
    walk.run([&](const WalkedEntry& entry) {
        if (entry.type == WalkedEntry::Type::file) members.push_back(entry.member);
    });
    CHECK(members == std::vector<std::string>{"/pg_tblspc/16384/PG_15_202209061/5/16385",
                                              "/pg_tblspc/mine/PG_15_202209061/5/16385", "/pg_tblspc/20000/PG_15_202209061/5/1"});
}

TEST_CASE("links in the place of the server's folders and below them are what they lead to, others stay links", "[backup]") {
    Tree tree, other;
    other.file("xact/0000").file("wal/000000010000000000000001").file("5/1259").file("16385").file("hba.conf");
    tree.file("base/1/1");
    for (const auto& [link, place] :
         {std::pair("pg_xact", "xact"), std::pair("pg_wal", "wal"), std::pair("base/5", "5"), std::pair("base/1/16385", "16385"),
          std::pair("pg_hba.conf", "hba.conf"), std::pair("certificates", "5"), std::pair("base/1/gone", "gone")})
        fs::create_symlink(other.folder / place, tree.folder / link);
    CHECK(tree.members() == std::vector<std::string>{"/", "/base", "/base/1", "/base/1/1", "/base/1/16385", "/base/5",
                                                     "/base/5/1259", "/certificates", "/pg_hba.conf", "/pg_wal", "/pg_xact",
                                                     "/pg_xact/0000"});
    PgdataWalk(tree.folder.path()).run([&](const WalkedEntry& entry) {
        const bool link = entry.member == "/certificates" || entry.member == "/pg_hba.conf";
        CHECK((entry.type == WalkedEntry::Type::symlink) == link);
        if (entry.member == "/base/1/16385") CHECK(entry.path == fs::canonical(other.folder / "16385"));
    });
}

TEST_CASE("names of relation files are told from others", "[backup]") {
    RelationFile file;
    CHECK(parse_relation_file("16385.3", file));
    CHECK(file.relation == "16385");
    CHECK(file.segment == 3);
    CHECK(parse_relation_file("16385_fsm", file));
    CHECK(file.fork == "fsm");
    for (const auto* name : {"", "PG_VERSION", "16385.x", "16385.", "16385_other", "pg_filenode.map", "1.99999999999999999999"})
        CHECK_FALSE(parse_relation_file(name, file));
    CHECK(is_temporary_relation("t12_16385_vm"));
    CHECK_FALSE(is_temporary_relation("t12"));
    CHECK_FALSE(is_temporary_relation("table_1"));
}

} // namespace walgd::backup
