#include "common/base/files.hpp"
#include "common/storage/file/file_storage.hpp"
#include "common/storage/retry/retrying_storage.hpp"
#include "tests/unit/file_backend.hpp"

#define CONTRACT_BACKENDS walgd::test::FileBackend, walgd::test::RetryingFileBackend, walgd::test::WatchedFileBackend
#include "tests/unit/storage_contract.hpp"

#include <fcntl.h>

namespace walgd::test {

TEST_CASE("a file storage whose folder is not there is an error, never an empty archive", "[storage]") {
    Spoken<FileBackend> there;
    std::filesystem::remove_all(there.storage().describe());
    CHECK(kind_of([&] { there.get("x"); }) == ErrorKind::misconfigured);
    CHECK(kind_of([&] { there.head("x"); }) == ErrorKind::misconfigured);
    CHECK(kind_of([&] { there.put("x", "y"); }) == ErrorKind::misconfigured);
    CHECK(kind_of([&] { there.list("", true); }) == ErrorKind::misconfigured);
    CHECK(kind_of([&] { there.put("../x", "y"); }) == ErrorKind::misconfigured);
}

TEST_CASE("WAL-G's unfinished files are not listed", "[storage]") {
    Spoken<FileBackend> there;
    there.put("wal_005/1.lz4", "x");
    const auto hidden = there.storage().describe() + "/wal_005/1.lz4.tmp.20260501T100000Z-0123456789abcdef";
    write_file_atomically(hidden, bytes_of("x"), 0600);
    CHECK(there.keys("") == std::vector<std::string>{"wal_005/1.lz4"});
}

TEST_CASE("cleaning up leaves alone what a living writer writes", "[storage]") {
    Spoken<FileBackend> there;
    const auto body = noise(1000);
    const auto upload = there.start_upload("alive", true);
    there.run(upload->put_piece(1, 0, body.view()));
    const auto dead = there.storage().describe() + "/walgd_005/tmp/0123456789abcdef";
    open_file(dead, O_CREAT | O_WRONLY);
    CHECK(there.run(there.storage().remove_stale_uploads("", std::chrono::seconds(0))) == 1);
    CHECK_FALSE(std::filesystem::exists(dead));
    CHECK(there.run(upload->complete()) == PutOutcome::stored);
    CHECK(there.head("alive")->bytes == 1000);
}

} // namespace walgd::test
