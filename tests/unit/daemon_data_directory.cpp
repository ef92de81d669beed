#include "daemon/socket/data_directory.hpp"

#include "common/base/files.hpp"
#include "tests/unit/async_support.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::daemon {

namespace {

const std::string archived_segment = "000000010000000000000003";
const std::string backup = archived_segment + ".00000028.backup";

/// A data directory whose pg_wal is a link to a folder beside it, as initdb --waldir makes it.
class Cluster {
public:
    Cluster() {
        std::filesystem::create_directories(wal() + "/archive_status");
        std::filesystem::create_directories(data() + "/base");
        std::filesystem::create_symlink(wal(), data() + "/pg_wal");
        write(wal() + "/" + archived_segment, "segment");
        write(folder_ / "outside", "secret");
        directory_.emplace(data());
    }
    std::string data() const { return folder_ / "data"; }
    std::string wal() const { return folder_ / "wal"; }
    std::string outside() const { return folder_ / "outside"; }
    void write(const std::string& path, const std::string& text) const { write_file_atomically(path, bytes_of(text), 0600); }
    void wants(const std::string& name) const { write(wal() + "/archive_status/" + name + ".ready", ""); }

    /// The names that are opened for `path`.
    std::vector<std::string> opened(const std::string& path) const {
        std::vector<std::string> names;
        for (const auto& file : directory_->open_wal(path)) names.push_back(file.name);
        return names;
    }
    ErrorKind refusal(const std::string& path) const {
        return test::kind_of([&] { directory_->open_wal(path); });
    }
    NewFile create(const std::string& path) const { return directory_->create(path); }
    ErrorKind create_refusal(const std::string& path) const {
        return test::kind_of([&] { directory_->create(path); });
    }

private:
    test::TemporaryFolder folder_;
    std::optional<DataDirectory> directory_;
};

using Names = std::vector<std::string>;

} // namespace

TEST_CASE("a WAL file is named bare, by %p, or by its whole path", "[daemon]") {
    const Cluster cluster;
    for (const auto& path : {archived_segment, "pg_wal/" + archived_segment, "./pg_wal//" + archived_segment,
                             cluster.data() + "/pg_wal/" + archived_segment, cluster.wal() + "/" + archived_segment})
        CHECK(cluster.opened(path) == Names{archived_segment});
}

TEST_CASE("nothing but WAL files of pg_wal can be named for a push", "[daemon]") {
    const Cluster cluster;
    cluster.write(cluster.data() + "/PG_VERSION", "15");
    cluster.write(cluster.data() + "/" + archived_segment, "not in pg_wal");
    for (const auto& path : {std::string(), std::string("/"), std::string("."), std::string("pg_wal"), std::string("pg_wal/"),
                             std::string("PG_VERSION"), std::string("../outside"), std::string("pg_wal/../PG_VERSION"),
                             "../wal/" + archived_segment, "pg_wal/archive_status/" + archived_segment,
                             "pg_wal/pg_wal/" + archived_segment, cluster.data() + "/" + archived_segment, cluster.outside(),
                             cluster.data() + "x/pg_wal/" + archived_segment, archived_segment + std::string("\0x", 2)})
        CHECK(cluster.refusal(path) == ErrorKind::refused);
}

TEST_CASE("a link or a pipe in pg_wal is neither followed nor waited for", "[daemon]") {
    const Cluster cluster;
    const std::string link = "000000010000000000000004", pipe = "000000010000000000000005";
    std::filesystem::create_symlink(cluster.outside(), cluster.wal() + "/" + link);
    REQUIRE(::mkfifo((cluster.wal() + "/" + pipe).c_str(), 0600) == 0);
    CHECK(cluster.refusal(link) == ErrorKind::failed);
    CHECK(cluster.opened(pipe) == Names{pipe}); // and the push refuses what is no file
}

TEST_CASE("a segment's name without .ready stands for its .backup and .partial files that have one", "[daemon]") {
    const Cluster cluster;
    cluster.write(cluster.wal() + "/" + backup, "label");
    CHECK(cluster.opened(archived_segment) == Names{archived_segment}); // the label is archived
    cluster.wants(backup);
    cluster.wants("0000000100000000000000FF.00000028.backup");
    cluster.wants(archived_segment + ".nonsense");
    CHECK(cluster.opened(archived_segment) == Names{archived_segment, backup});
    cluster.wants(archived_segment);
    CHECK(cluster.opened(archived_segment) == Names{archived_segment}); // the label's turn is after it
}

TEST_CASE("a segment that became .partial is asked for by the segment's name", "[daemon]") {
    const Cluster cluster;
    std::filesystem::rename(cluster.wal() + "/" + archived_segment, cluster.wal() + "/" + archived_segment + ".partial");
    CHECK(cluster.refusal(archived_segment) == ErrorKind::failed);
    cluster.wants(archived_segment + ".partial");
    CHECK(cluster.opened(archived_segment) == Names{archived_segment + ".partial"});
    cluster.wants(archived_segment);
    CHECK(cluster.refusal(archived_segment) == ErrorKind::failed); // that one is lost: never acknowledged
}

TEST_CASE("a new file appears complete or not at all, and replaces nothing", "[daemon]") {
    const Cluster cluster;
    for (const auto& path : {std::string("pg_wal/RECOVERYXLOG"), cluster.data() + "/pg_wal/RECOVERYHISTORY",
                             cluster.wal() + "/other", std::string("top"), std::string("base/inner")}) {
        {
            const auto given_up = cluster.create(path);
        }
        auto file = cluster.create(path);
        const auto fd = file.take_descriptor();
        write_all(fd.get(), bytes_of(std::string("content")), path);
        CHECK(cluster.create_refusal("nowhere/x") == ErrorKind::failed);
        file.finish();
        const auto name = path.starts_with('/') ? path : cluster.data() + "/" + path;
        CHECK(read_text_file(name) == "content");
        CHECK(cluster.create_refusal(path) == ErrorKind::refused);
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(cluster.data() + "/.."))
        CHECK_FALSE(entry.path().filename().string().starts_with(".walgd"));
}

TEST_CASE("what one left that was killed is no obstacle to the next with its process id", "[daemon]") {
    const Cluster cluster;
    // As a daemon in a container, which always has the same one: whatever the next number is.
    for (int number = 0; number < 1000; ++number)
        cluster.write(fmt::format("{}/.walgd.RECOVERYXLOG.{}.{}", cluster.wal(), ::getpid(), number), "a part");
    auto file = cluster.create("pg_wal/RECOVERYXLOG");
    const auto fd = file.take_descriptor();
    write_all(fd.get(), bytes_of(std::string("all")), "RECOVERYXLOG");
    file.finish();
    CHECK(read_text_file(cluster.wal() + "/RECOVERYXLOG") == "all");
}

TEST_CASE("no new file can be named outside the data directory", "[daemon]") {
    const Cluster cluster;
    std::filesystem::create_symlink(std::filesystem::path(cluster.outside()).parent_path(), cluster.data() + "/base/link");
    for (const auto& path :
         {std::string("../x"), std::string("base/../../x"), std::string("pg_wal/../x"), std::string("/tmp/x"), std::string(),
          std::string("base/"), std::string("a\0b", 3), cluster.data() + "/../x", cluster.data() + "x/y"})
        CHECK(cluster.create_refusal(path) == ErrorKind::refused);
    CHECK(cluster.create_refusal("base/link/x") == ErrorKind::failed);
    CHECK(cluster.create_refusal("base/link") == ErrorKind::refused);
}

TEST_CASE("a data directory that is not known is told at once, one that is not there when it is used", "[daemon]") {
    CHECK(test::kind_of([] { DataDirectory directory(""); }) == ErrorKind::misconfigured);
    const DataDirectory directory("/nowhere/data");
    CHECK(test::kind_of([&] { directory.open_wal(archived_segment); }) == ErrorKind::failed);
    CHECK(test::kind_of([&] { directory.create("pg_wal/x"); }) == ErrorKind::failed);
}

} // namespace walgd::daemon
