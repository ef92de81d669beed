#include "common/backup/push/backup_push.hpp"

#include "common/base/error.hpp"

#include <catch2/catch.hpp>

namespace walgd::backup {

TEST_CASE("backup: a server whose data directory is not on this host is refused, with the way on", "[backup]") {
    pg::ServerFacts facts;
    facts.data_directory = "/no-such-folder/data";
    try {
        checked_pgdata("/no-such-folder/data", facts);
        FAIL("taken");
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::refused);
        CHECK(std::string(error.what()).find("/no-such-folder/data is not on this host") != std::string::npos);
        CHECK(error.hint().find("leave the directory out") != std::string::npos);
    }
}

} // namespace walgd::backup
