#include "common/archive/journal.hpp"

#include "common/archive/layout.hpp"
#include "common/base/time_text.hpp"
#include "tests/unit/file_backend.hpp"

#include <fmt/format.h>

namespace walgd::archive {

using test::text_of_error;

namespace {

Time at(int minute) { return *parse_time(fmt::format("2026-05-01T10:{:02}:00Z", minute)); }

/// Three backups, and the WAL between them.
std::vector<Journal> three() {
    return {{"base_1", std::nullopt, at(1), 10}, {"base_2", at(1), at(2), 200}, {"base_3", at(2), at(3), 0}};
}

} // namespace

TEST_CASE("a journal is written as WAL-G writes it, and read again", "[archive]") {
    const Journal first{"base_1", std::nullopt, at(1), 0}, second{"base_2", at(1), at(2), 4096};
    CHECK(to_json(first) ==
          R"({"PriorBackupEnd":"0001-01-01T00:00:00Z","CurrentBackupEnd":"2026-05-01T10:01:00Z","SizeToNextBackup":0})");
    CHECK(to_json(second) ==
          R"({"PriorBackupEnd":"2026-05-01T10:01:00Z","CurrentBackupEnd":"2026-05-01T10:02:00Z","SizeToNextBackup":4096})");
    CHECK(parse_journal(to_json(first), "base_1", "o") == first);
    CHECK(parse_journal(to_json(second), "base_2", "o") == second);
    CHECK(text_of_error([] { parse_journal(R"({"SizeToNextBackup":-1})", "base_1", "the object"); }).find("the object") !=
          std::string::npos);
}

TEST_CASE("what a backup that is gone had counted goes to the one before", "[archive]") {
    CHECK(journals_of(three(), {"base_1", "base_2", "base_3"}) == three());
    CHECK(journals_of(three(), {"base_1", "base_3"}) ==
          std::vector<Journal>{{"base_1", std::nullopt, at(1), 210}, {"base_3", at(1), at(3), 0}});
    CHECK(journals_of(three(), {"base_1"}) == std::vector<Journal>{{"base_1", std::nullopt, at(1), 0}});
    CHECK(journals_of(three(), {"base_2", "base_3"}) ==
          std::vector<Journal>{{"base_2", std::nullopt, at(2), 200}, {"base_3", at(2), at(3), 0}});
    CHECK(journals_of(three(), {}).empty());
}

TEST_CASE("a journal of an older WAL-G, which tells no time, counts for none and stays as it is", "[archive]") {
    test::FileBackend backend;
    auto& storage = backend.storage();
    const std::string old = R"({"JournalStart":"a","JournalEnd":"b","JournalSize":1})";
    const auto key = journal_key("base_000000010000000000000001");
    backend.loop.run(storage.put(key, bytes_of(old), {}));
    const std::string wal = "x";
    backend.loop.run(storage.put(wal_key("000000010000000000000001", "zst"), bytes_of(wal), {}));
    const std::string backup = "base_000000010000000000000002";
    backend.loop.run(add_journal(storage, backup, at(2)));
    const auto still = backend.loop.run(storage::get_whole(storage, key, 1000));
    CHECK(text_of(still->view()) == old);
    const auto made = backend.loop.run(storage::get_whole(storage, journal_key(backup), 1000));
    CHECK(parse_journal(text_of(made->view()), backup, "o") == Journal{backup, std::nullopt, at(2), 0});
}

} // namespace walgd::archive
