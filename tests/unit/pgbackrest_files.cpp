#include "common/base/error.hpp"
#include "common/pgbackrest/info.hpp"
#include "common/pgbackrest/layout.hpp"
#include "common/pgbackrest/manifest.hpp"
#include "common/pgbackrest/restore_plan.hpp"
#include "tests/unit/pgbackrest_support.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

using namespace walgd;
using namespace walgd::pgbackrest;
using Catch::Matchers::Contains;

namespace {

const std::string head = "[backrest]\nbackrest-format=5\nbackrest-version=\"2.45\"\n\n";
const std::string sha1 = R"("checksum":"587b596f04f7db9c2cad3d6b87dd2b3a05de4f35")";

using Entries = std::vector<std::string>;

Entries read_ini(std::string_view text, std::size_t cut = 1 << 20) {
    Entries entries;
    IniReader reader(
        [&](std::string_view section, std::string_view key, const nlohmann::json& value) {
            entries.push_back(std::string(section) + "|" + std::string(key) + "|" + value.dump());
        },
        "x.info");
    for (; !text.empty(); text.remove_prefix(std::min(cut, text.size()))) reader.write(text.substr(0, cut));
    reader.finish();
    return entries;
}

Manifest read_manifest(const std::string& text, ManifestReader::Files files = ManifestReader::Files::wanted) {
    ManifestReader reader("x.manifest", files);
    reader.write(text);
    return reader.finish();
}

std::vector<BackupInfo> read_backups(const std::string& text) {
    BackupInfoReader reader("x.info");
    reader.write(text);
    return reader.finish();
}

std::string read_archive(const std::string& text) {
    ArchiveInfoReader reader("x.info");
    reader.write(text);
    return reader.finish();
}

template <class Call> ErrorKind kind_of(Call call) {
    try {
        call();
    } catch (const Error& error) {
        return error.kind();
    }
    return ErrorKind::cancelled;
}

} // namespace

TEST_CASE("an info file comes out entry by entry, in any cut of its bytes", "[pgbackrest]") {
    const auto text = with_checksum(head + "[db]\nname=\"a=b\"\npath/a=b={\"size\":1}\n\n[db:history]\n1={\"x\":[1,2]}\n");
    const Entries expected{"backrest|backrest-format|5", "backrest|backrest-version|\"2.45\"", "db|name|\"a=b\"",
                           "db|path/a=b|{\"size\":1}", "db:history|1|{\"x\":[1,2]}"};
    for (const auto cut : std::vector<std::size_t>{1, 2, 7, 1000}) CHECK(read_ini(text, cut) == expected);
}

TEST_CASE("pgBackRest's own checksum of an info file holds", "[pgbackrest]") {
    // archive.info as pgBackRest 2.45 wrote it.
    const std::string text = "[backrest]\nbackrest-format=5\nbackrest-version=\"2.45\"\n\n[db]\ndb-id=1\n"
                             "db-system-id=7712318227408340229\ndb-version=\"15\"\n\n[db:history]\n"
                             "1={\"db-id\":7712318227408340229,\"db-version\":\"15\"}\n\n[backrest]\n"
                             "backrest-checksum=\"ad5c7f87e93b1a2ddffa31316d2628e266afad76\"\n";
    CHECK(read_archive(text) == "15-1");
    CHECK(with_checksum(text.substr(0, text.rfind("\n[backrest]"))) == text);
}

TEST_CASE("every changed byte of an info file is seen", "[pgbackrest]") {
    const auto text = with_checksum(head + "[db]\ndb-id=1\ndb-version=\"15\"\n");
    REQUIRE(read_archive(text) == "15-1");
    for (std::size_t at = 0; at < text.size(); ++at) {
        auto changed = text;
        changed[at] = static_cast<char>(changed[at] ^ 2);
        INFO(at);
        CHECK_THROWS_AS(read_archive(changed), Error);
        CHECK_THROWS_AS(read_archive(text.substr(0, at)), Error);
    }
}

TEST_CASE("an encrypted repository and another format are refused by name", "[pgbackrest]") {
    CHECK_THROWS_WITH(read_ini("Salted__\x01\x02\x03"), Contains("x.info is encrypted") && Contains("repo-cipher-type"));
    CHECK_THROWS_WITH(read_ini("Salted__\n"), Contains("x.info is encrypted"));
    CHECK_THROWS_WITH(read_ini("Salted__\n", 1), Contains("x.info is encrypted"));
    CHECK(kind_of([] { read_ini("Salted__\n"); }) == ErrorKind::misconfigured);
    CHECK_THROWS_WITH(read_ini(with_checksum("[backrest]\nbackrest-format=6\n")), Contains("format 6"));
}

TEST_CASE("what is no info file is told with its line", "[pgbackrest]") {
    CHECK_THROWS_WITH(read_ini("a=1\n"), Contains("x.info line 1"));
    CHECK_THROWS_WITH(read_ini("[a]\nb\n"), Contains("line 2"));
    CHECK_THROWS_WITH(read_ini("[a]\nb={\"c\":\n"), Contains("line 2"));
    CHECK_THROWS_WITH(read_ini("[a]\n=1\n"), Contains("no key"));
    CHECK_THROWS_WITH(read_ini(head), Contains("backrest-checksum"));
    CHECK_THROWS_WITH(read_ini(""), Contains("backrest-checksum"));
    CHECK_THROWS_WITH(read_ini(std::string(5 << 20, 'x')), Contains("longer"));
}

TEST_CASE("backup.info tells the complete backups by the time they ended", "[pgbackrest]") {
    const auto backups = read_backups(with_checksum(
        head +
        "[backup:current]\n"
        R"(20260102-000000F={"backup-archive-start":"000000010000000000000004","backup-archive-stop":"000000010000000000000005","backup-error":true,"backup-lsn-start":"0/4000028","backup-lsn-stop":"0/5000100","backup-timestamp-start":20,"backup-timestamp-stop":40,"backup-type":"full"})"
        "\n"
        R"(20260103-000000F={"backup-archive-start":null,"backup-error":false,"backup-timestamp-start":25,"backup-timestamp-stop":30,"backup-type":"full"})"
        "\n"));
    REQUIRE(backups.size() == 2);
    CHECK(backups[0].label == "20260103-000000F");
    CHECK(backups[0].archive_start.empty()); // made offline
    CHECK_FALSE(backups[0].start_lsn);
    CHECK_FALSE(backups[0].damaged);
    CHECK(backups[1].archive_start == "000000010000000000000004");
    CHECK(backups[1].archive_stop == "000000010000000000000005");
    CHECK(backups[1].stop_lsn == pg::Lsn(0x5000100));
    CHECK(backups[1].damaged);
}

TEST_CASE("values of another type than they must have are an error that names the entry", "[pgbackrest]") {
    auto with = [](const std::string& entry) { return with_checksum(head + "[backup:current]\n" + entry + "\n"); };
    CHECK_THROWS_WITH(read_backups(with("20260102-000000F=7")), Contains("20260102-000000F"));
    CHECK_THROWS_WITH(read_backups(with(R"(A={"backup-lsn-start":"x"})")), Contains("A is not a place in the WAL"));
    CHECK_THROWS_WITH(read_backups(with(R"(A={"backup-timestamp-stop":-1})")), Contains("A is not a number"));
    CHECK_THROWS_WITH(read_backups(with(R"(A={"backup-timestamp-stop":99999999999999})")), Contains("A is not a time"));
    CHECK_THROWS_WITH(read_backups(with(R"(../x={})")), Contains("is no backup's label"));
    CHECK_THROWS_AS(read_archive(with_checksum(head + "[db]\ndb-id=1\ndb-version=\"../x\"\n")), Error);
    CHECK_THROWS_AS(read_archive(with_checksum(head + "[db]\ndb-version=\"15\"\n")), Error);
}

TEST_CASE("a manifest tells where each file is, its size, mode and checksum", "[pgbackrest]") {
    const auto manifest = read_manifest(with_checksum(
        manifest_text(R"(pg_data/a={"bni":2,"bno":7,)" + sha1 +
                      R"(,"checksum-page":true,"reference":"20261126-033339F","repo-size":12,"size":3})" + "\n" +
                      R"(pg_data/b={)" + sha1 + R"(,"checksum-page":false,"checksum-page-error":[1],"mode":"0640","size":9})" +
                      "\n" + R"(pg_tblspc/16384/PG_15/5/7={"checksum-page":true,"size":0})" + "\n")));
    CHECK(manifest.label == "20261126-033339F_20261126-033344I");
    CHECK(manifest.type == "incr");
    CHECK(manifest.pg_version == "15");
    CHECK(manifest.system == pg::SystemIdentifier(7712318227408340229));
    CHECK(manifest.compression->name() == "zstd");
    REQUIRE(manifest.files.size() == 3);
    const auto &a = manifest.files[0], &b = manifest.files[1], &c = manifest.files[2];
    CHECK(manifest.labels[a.label] == "20261126-033339F");
    CHECK(manifest.labels[b.label] == manifest.label);
    CHECK((a.bundle == 2 && a.bundle_offset == 7 && a.bytes == 3 && a.stored_bytes == 12 && a.mode == 0600 && !a.damaged));
    CHECK((b.bundle == 0 && b.bytes == 9 && b.stored_bytes == 9 && b.mode == 0640 && b.damaged));
    CHECK(to_hex(b.sha1) == "587b596f04f7db9c2cad3d6b87dd2b3a05de4f35");
    CHECK((c.bytes == 0 && c.name == "pg_tblspc/16384/PG_15/5/7"));
    REQUIRE(manifest.folders.size() == 2);
    CHECK((manifest.folders[0].mode == 0700 && manifest.folders[1].mode == 0750));
    REQUIRE(manifest.tablespaces.size() == 1);
    CHECK((manifest.tablespaces[0].name == "16384" && manifest.tablespaces[0].location == "/ts"));
    CHECK(manifest.links == std::vector<std::string>{"pg_data/pg_wal"});
    CHECK(manifest.bytes() == 12);
}

TEST_CASE("a manifest's files are left out when only its head is wanted", "[pgbackrest]") {
    const auto text = with_checksum(manifest_text(R"(pg_data/a={"size":0})"
                                                  "\n",
                                                  "option-compress-type=\"bz2\"\n"));
    CHECK(read_manifest(text, ManifestReader::Files::left_out).files.empty());
    CHECK_THROWS_WITH(read_manifest(text), Contains("bzip2"));
}

TEST_CASE("manifests of old releases name no compress-type", "[pgbackrest]") {
    CHECK(read_manifest(with_checksum(manifest_text("", "option-compress=true\n"))).compression->name() == "gzip");
    CHECK(read_manifest(with_checksum(manifest_text("", "option-compress=false\n"))).compression->name() == "none");
    CHECK(read_manifest(with_checksum(manifest_text("", "option-compress-type=\"none\"\n"))).compression->name() == "none");
}

TEST_CASE("a manifest that cannot be restored is refused by name before anything is read", "[pgbackrest]") {
    auto with = [](const std::string& file) { return with_checksum(manifest_text("pg_data/a=" + file + "\n")); };
    CHECK_THROWS_WITH(read_manifest(with(R"({"bims":64,"bis":1,)" + sha1 + R"(,"size":3})")),
                      Contains("pg_data/a") && Contains("repo-block"));
    CHECK_THROWS_WITH(read_manifest(with(R"({"size":3})")), Contains("pg_data/a has no SHA-1"));
    CHECK_THROWS_WITH(read_manifest(with("{" + sha1 + "}")), Contains("pg_data/a has no size"));
    CHECK_THROWS_WITH(read_manifest(with("{" + sha1 + R"(,"size":3,"mode":"0999"})")), Contains("is not a mode"));
    CHECK_THROWS_WITH(read_manifest(with("{" + sha1 + R"(,"size":3,"reference":"../x"})")), Contains("no backup's label"));
    CHECK_THROWS_WITH(read_manifest(with("{" + sha1 + R"(,"bno":18446744073709551615,"size":3})")), Contains("ends nowhere"));
}

TEST_CASE("names in the archive are told apart", "[pgbackrest]") {
    const std::string segment = "000000010000000000000003", digest = "299b6896cb112459053756473589656595684f55";
    const auto packed = parse_archived_name(segment + "-" + digest + ".gz");
    REQUIRE(packed);
    CHECK((packed->file == segment && to_hex(*packed->sha1) == digest && packed->extension == "gz"));
    CHECK(parse_archived_name(segment + "-" + digest)->extension.empty());
    CHECK(parse_archived_name(segment + ".partial-" + digest + ".zst")->file == segment + ".partial");
    const auto label = parse_archived_name(segment + ".00000028.backup");
    REQUIRE(label);
    CHECK((label->file == segment + ".00000028.backup" && !label->sha1));
    for (const auto& name : {segment, segment + "-", segment + "-" + digest.substr(1), segment + "-" + digest + "x",
                             segment + "-" + digest + ".", "x-" + digest, segment + "-" + std::string(40, 'g'), std::string()})
        CHECK_FALSE(parse_archived_name(name));
}

TEST_CASE("the codecs of a repository are found, bzip2 is refused by name", "[pgbackrest]") {
    CHECK(compression_of_extension("gz", "x").name() == "gzip");
    CHECK(compression_of_extension("lz4", "x").name() == "lz4");
    CHECK(compression_of_extension("zst", "x").name() == "zstd");
    CHECK(compression_of_extension("", "x").name() == "none");
    CHECK_THROWS_WITH(compression_of_extension("bz2", "object x"), Contains("object x") && Contains("bzip2"));
    CHECK_THROWS_WITH(compression_of_extension("br", "object x"), Contains("'br'"));
}

TEST_CASE("a stanza's name stays within its folder", "[pgbackrest]") {
    CHECK_NOTHROW(check_stanza("main-1.x"));
    for (const auto* name : {"", ".", "..", "a/b", ".hidden"})
        CHECK_THROWS_WITH(check_stanza(name), Contains("PGBACKREST_STANZA"));
}

TEST_CASE("near files of a bundle come in one request, others each in their own", "[pgbackrest]") {
    auto file = [](const std::string& name, int bundle, int offset, int stored, const std::string& more = "") {
        return fmt::format(R"({}={{"bni":{},"bno":{},{},"repo-size":{},"size":3{}}})", name, bundle, offset, sha1, stored, more) +
               "\n";
    };
    const auto other = R"(,"reference":"20261126-033339F")";
    const auto manifest = read_manifest(with_checksum(
        manifest_text(file("pg_data/a", 1, 50, 10) + file("pg_data/b", 1, 0, 50) + file("pg_data/c", 1, 1000, 5) +
                      file("pg_data/d", 1, 900'000, 5) + file("pg_data/e", 1, 60, 10, other) + file("pg_data/f", 2, 70, 10) +
                      R"(pg_data/g={)" + sha1 + R"(,"repo-size":9,"size":3})" + "\n" + R"(pg_data/h={"size":0})" + "\n" +
                      R"(pg_data/tablespace_map={)" + sha1 + R"(,"size":3})" + "\n")));
    const auto plan = plan_runs(manifest);
    std::vector<std::string> runs;
    for (const auto& run : plan.runs) {
        std::string names;
        for (std::size_t at = run.first; at < run.first + run.count; ++at) names += manifest.files[plan.order[at]].name.back();
        const auto key = key_of(manifest, manifest.files[plan.order[run.first]], "main").path();
        runs.push_back(fmt::format("{} {} {}+{}{}", key, names, run.offset, run.bytes, run.whole ? " whole" : ""));
    }
    const std::string own = "backup/main/20261126-033339F_20261126-033344I/", full = "backup/main/20261126-033339F/";
    CHECK(runs == std::vector<std::string>{own + "pg_data/g.zst g 0+9 whole", own + "bundle/1 bac 0+1005",
                                           own + "bundle/1 d 900000+5", own + "bundle/2 f 70+10", full + "bundle/1 e 60+10"});
    REQUIRE(plan.empty.size() == 1);
    CHECK(manifest.files[plan.empty[0]].name == "pg_data/h");
}

TEST_CASE("files that begin within another one are read on their own", "[pgbackrest]") {
    auto file = [](const std::string& name, std::uint64_t offset) {
        return fmt::format(R"({}={{"bni":1,"bno":{},{},"repo-size":50,"size":3}})", name, offset, sha1) + "\n";
    };
    const auto manifest =
        read_manifest(with_checksum(manifest_text(file("pg_data/a", 0) + file("pg_data/b", 0) + file("pg_data/c", 20))));
    const auto plan = plan_runs(manifest);
    CHECK(plan.runs.size() == 3);
}

TEST_CASE("a manifest's names lead into the data directory or a tablespace", "[pgbackrest]") {
    CHECK(member_of("pg_data").empty());
    CHECK(member_of("pg_data/base/1/1259") == "base/1/1259");
    CHECK(member_of("pg_tblspc/16384/PG_15/5/1") == "pg_tblspc/16384/PG_15/5/1");
    for (const auto* name : {"", "pg_database/x", "/etc/passwd", "../x", "pg_tblspcx"}) CHECK_THROWS_AS(member_of(name), Error);
}
