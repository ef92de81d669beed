#include "common/backup/restore/wal_requirements.hpp"
#include "common/base/error.hpp"
#include "tests/unit/async_support.hpp"
#include "tests/unit/has.hpp"

#include <filesystem>

namespace walgd::backup {

namespace {

namespace fs = std::filesystem;

Requirements created_in(const std::string& folder) { return {{pg::Lsn(0x3000060), pg::TablespaceCreated{16450, folder}}}; }

/// Of a tablespace in `folder`, where a server 15 is restored into `pgdata`.
std::vector<std::string> checked(const std::string& folder, const std::string& pgdata, pg::Lsn consistent = pg::Lsn(0)) {
    return check_later_tablespaces(created_in(folder), {.restored = {}, .pgdata = pgdata, .major = 15, .consistent = consistent});
}

std::string hint_of(const std::string& folder, const std::string& pgdata, pg::Lsn consistent) {
    try {
        checked(folder, pgdata, consistent);
    } catch (const Error& error) {
        return error.hint();
    }
    return {};
}

} // namespace

TEST_CASE("a later tablespace's folder is made, or refused where another cluster is in it", "[backup]") {
    const test::TemporaryFolder scratch;
    const auto pgdata = scratch.path() + "/data", folder = scratch.path() + "/disks/fast";
    fs::create_directory(pgdata);
    const auto folders = checked(folder, pgdata);
    CHECK(folders == std::vector{folder});
    CHECK_FALSE(fs::exists(folder));
    make_tablespace_folders(folders, pgdata);
    CHECK((fs::status(folder).permissions() & fs::perms::mask) == fs::perms::owner_all);
    fs::create_directory(folder + "/PG_14_202107181"); // of a version that is not this one's
    CHECK(checked(folder, pgdata) == std::vector{folder});

    fs::create_directory(folder + "/PG_15_202209061");
    const auto refusal = test::text_of_error([&] { checked(folder, pgdata); });
    CHECK(has(refusal, "tablespace 16450 in \"" + folder + "\" (at LSN 0/3000060)"));
    CHECK(has(refusal, "it would write into PG_15_202209061"));
    CHECK(has(hint_of(folder, pgdata, pg::Lsn(0x3000060)), "--target-lsn 0/3000060 --target-exclusive"));
    CHECK(has(hint_of(folder, pgdata, pg::Lsn(0x3000068)), "from another backup"));
    // The backup's own tablespaces, and those in the data directory, are looked at elsewhere.
    for (const auto* slashes : {"", "//"}) {
        const archive::TablespaceSpec own{"", {{"16450", folder + slashes}}};
        CHECK(check_later_tablespaces(created_in(folder), {.restored = own, .pgdata = pgdata, .major = 15}).empty());
    }
    CHECK(checked("", pgdata).empty());
    const auto long_path = "/" + std::string(100'000, 'x');
    for (const auto* odd : {"relative", "/dev/null", "/dev/null/below", long_path.c_str()})
        CHECK(test::kind_of([&] { checked(odd, pgdata); }) == ErrorKind::refused);
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
