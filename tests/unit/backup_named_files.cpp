#include "common/backup/named_files.hpp"

#include <catch2/catch.hpp>

using walgd::backup::NamedFiles;

TEST_CASE("a file that a backup's metadata names and no part has is lost, once all of the backup was read", "[backup]") {
    NamedFiles files;
    for (const auto* backup : {"whole", "part gone", "no metadata", "lost", "damaged"}) files.expect(backup, 2);
    for (const auto* backup : {"whole", "no metadata", "lost", "not all chosen"}) files.held(backup, {7, 3});
    for (const auto* backup : {"part gone", "lost", "whole", "damaged", "not all chosen"}) files.named(backup, {1, 2, 3});
    CHECK(files.lost().empty());
    files.give_up("damaged");
    files.give_up("not all chosen");
    files.held("whole", {2, 1});
    files.held("no metadata", {});
    files.held("lost", {3});
    for (int part = 0; part < 2; ++part) files.held("damaged", {7});
    CHECK(files.lost() == std::map<std::string, std::vector<std::uint64_t>>{{"lost", {1, 2}}});
}
