#include "common/base/files.hpp"
#include "common/storage/file/file_storage.hpp"
#include "common/storage/retry/retrying_storage.hpp"
#include "tests/unit/file_backend.hpp"

#define CONTRACT_BACKENDS walgd::test::FileBackend, walgd::test::RetryingFileBackend, walgd::test::WatchedFileBackend
#include "tests/unit/storage_contract.hpp"

#include <algorithm>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/xattr.h>

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

TEST_CASE("a folder of several pages is listed whole, whoever goes on with it", "[storage]") {
    constexpr int count = 20'500; // a page has 20,000
    Spoken<FileBackend> there;
    const auto folder = there.storage().describe() + "/wal_005";
    std::filesystem::create_directories(folder + "/inner");
    std::vector<std::string> names;
    for (int number = 0; number < count; ++number) {
        names.push_back(fmt::format("wal_005/{:06}", number));
        open_file(there.storage().describe() + "/" + names.back(), O_CREAT | O_WRONLY);
    }
    auto key_of = [](const storage::ObjectInfo& object) { return object.key.path(); };
    auto list = [&](storage::Storage& storage, const std::optional<std::string>& token) {
        storage::ListOptions options;
        options.token = token;
        return there.run(storage.list("wal_005/", options));
    };
    const auto first = list(there.storage(), {});
    REQUIRE(first.next);
    CHECK(first.folders == std::vector<std::string>{"wal_005/inner/"});
    // Another listing of the same folder, and a look into its middle, do not disturb.
    const auto other_first = list(there.storage(), {});
    storage::ListOptions middle;
    middle.after = "010000";
    there.run(there.storage().list("wal_005/", middle));
    CHECK(there.remove({"wal_005/020400"}).empty());
    const auto second = list(there.storage(), first.next);
    CHECK_FALSE(second.next);
    CHECK(second.folders.empty());
    std::vector<std::string> found;
    std::ranges::transform(first.objects, std::back_inserter(found), key_of);
    std::ranges::transform(second.objects, std::back_inserter(found), key_of);
    std::erase(names, "wal_005/020400");
    CHECK(found == names);
    // The same token again, and in a process that read nothing before.
    for (int again = 0; again < 2; ++again)
        CHECK(list(there.storage(), other_first.next).objects.size() == second.objects.size());
    asio::thread_pool pool{1};
    const auto elsewhere = storage::make_file_storage(there.storage().describe(), pool.get_executor());
    CHECK(list(*elsewhere, first.next).objects.size() == second.objects.size());
}

TEST_CASE("folders go with their last object, and what is beside them stays", "[storage]") {
    Spoken<FileBackend> there;
    for (const auto* name : {"a/b/c/1", "a/b/2", "a/3", "d/4"}) there.put(name, "x");
    CHECK(there.remove({"a/b/2", "a/b/c/1", "none/5"}).empty());
    CHECK_FALSE(std::filesystem::exists(there.storage().describe() + "/a/b"));
    CHECK(there.keys("") == std::vector<std::string>{"a/3", "d/4"});
    // What cannot be removed is told by name, and hinders no other.
    const auto failures = there.remove({"a/3", "d", "../x"});
    REQUIRE(failures.size() == 2);
    CHECK(failures[0].key.path() == "d");
    CHECK(failures[1].key.path() == "../x");
    CHECK(there.keys("") == std::vector<std::string>{"d/4"});
}

TEST_CASE("metadata is kept with a file", "[storage]") {
    Spoken<FileBackend> there;
    const auto probe = there.storage().describe() + "/probe";
    write_file_atomically(probe, bytes_of("x"), 0600);
    if (::setxattr(probe.c_str(), "user.probe", "x", 1, 0) != 0) {
        WARN("left out: the file system of " << probe << " has no extended attributes");
        return;
    }
    const storage::PutOptions options{.if_absent = true, .metadata = {{"walgd-plain-sha256", "abc"}}};
    there.run(there.storage().put(ObjectKey("m"), bytes_of("x"), options));
    CHECK(there.head("m")->metadata == options.metadata);
    CHECK(there.run(there.storage().get(ObjectKey("m"), {}))->info().metadata == options.metadata);
    const auto upload = there.run(there.storage().start_upload(ObjectKey("u"), options));
    there.run(upload->put_piece(1, 0, bytes_of("y")));
    there.run(upload->complete());
    CHECK(there.head("u")->metadata == options.metadata);
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
