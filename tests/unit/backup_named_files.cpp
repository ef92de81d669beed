#include "common/backup/named_files.hpp"

#include <catch2/catch.hpp>

using walgd::backup::NamedFiles;

TEST_CASE("a file that a backup's metadata names and no part has is lost, once all of the backup was read", "[backup]") {
    NamedFiles files;
    for (const auto* backup : {"whole", "part gone", "no metadata", "lost"})
        for (int part = 0; part < 2; ++part) files.expect_part(backup);
    for (const auto* backup : {"whole", "no metadata", "lost"}) files.held(backup, {7, 3});
    for (const auto* backup : {"part gone", "lost", "whole"}) files.named(backup, {1, 2, 3});
    CHECK(files.lost().empty());
    files.held("whole", {2, 1});
    files.held("no metadata", {});
    files.held("lost", {3, 1});
    CHECK(files.lost() == std::map<std::string, std::size_t>{{"lost", 1}});
}
