#include "common/backup/restore/wal_requirements.hpp"
#include "common/base/error.hpp"
#include "tests/unit/async_support.hpp"
#include "tests/unit/has.hpp"

#include <filesystem>

namespace walgd::backup {

namespace {

namespace fs = std::filesystem;

Requirements created_in(const std::string& folder) { return {{pg::Lsn(0x3000060), pg::TablespaceCreated{16450, folder}}}; }

} // namespace

TEST_CASE("a later tablespace's folder is made, or refused where another cluster is in it", "[backup]") {
    const test::TemporaryFolder scratch;
    const auto pgdata = scratch.path() + "/data", folder = scratch.path() + "/disks/fast";
    fs::create_directory(pgdata);
    const auto folders = check_later_tablespaces(created_in(folder), std::nullopt, pgdata, 15);
    CHECK(folders == std::vector{folder});
    CHECK_FALSE(fs::exists(folder));
    make_tablespace_folders(folders, pgdata);
    CHECK((fs::status(folder).permissions() & fs::perms::mask) == fs::perms::owner_all);
    fs::create_directory(folder + "/PG_14_202107181"); // of a version that is not this one's
    CHECK(check_later_tablespaces(created_in(folder), std::nullopt, pgdata, 15) == std::vector{folder});

    fs::create_directory(folder + "/PG_15_202209061");
    const auto refusal = test::text_of_error([&] { check_later_tablespaces(created_in(folder), std::nullopt, pgdata, 15); });
    CHECK(has(refusal, "tablespace 16450 in " + folder + " (at LSN 0/3000060, after the backup)"));
    CHECK(has(refusal, folder + "/PG_15_202209061"));
    // The backup's own tablespaces, and those in the data directory, are looked at elsewhere.
    const archive::TablespaceSpec own{"", {{"16450", folder}}};
    CHECK(check_later_tablespaces(created_in(folder), own, pgdata, 15).empty());
    CHECK(check_later_tablespaces(created_in(""), std::nullopt, pgdata, 15).empty());
    for (const auto* odd : {"relative", "/dev/null", "/dev/null/below"})
        CHECK(test::kind_of([&] { check_later_tablespaces(created_in(odd), std::nullopt, pgdata, 15); }) == ErrorKind::refused);
}

TEST_CASE("of settings those are told that were raised over what the backup's server had", "[backup]") {
    const pg::StandbySettings before{{100, 8, 10, 0, 64}, 1};
    const Requirements later{{pg::Lsn(0x10), pg::StandbySettings{{300, 8, 5, 0, 64}, 1}},
                             {pg::Lsn(0x20), pg::StandbySettings{{200, 8, 10, 4, 64}, 1}}};
    CHECK(raised_settings(later, before) == std::vector<std::string>{"max_connections = 300 (before LSN 0/10: 100)",
                                                                     "max_prepared_transactions = 4 (before LSN 0/20: 0)"});
    CHECK(raised_settings({}, before).empty());
}

} // namespace walgd::backup
