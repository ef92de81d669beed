#include "daemon/socket/server.hpp"

#include "common/base/files.hpp"
#include "daemon/jobs.hpp"
#include "daemon/socket/listener.hpp"
#include "proto/client.hpp"
#include "tests/unit/counting_storage.hpp"
#include "tests/unit/file_backend.hpp"
#include "tests/unit/wal_support.hpp"

#include <array>
#include <atomic>
#include <barrier>
#include <boost/asio/executor_work_guard.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <thread>

namespace walgd::daemon {

namespace {

/// A daemon's socket, served on a thread of its own over a file storage.
class Served {
public:
    Served() : thread_([this] { io_.run(); }) {}
    ~Served() {
        asio::post(io_, [this] { tasks_.cancel(); });
        asio::co_spawn(io_, tasks_.join(), asio::use_future).wait();
        guard_.reset();
        thread_.join();
        pool_.join();
    }
    std::string socket() const { return folder_ / "walgd.sock"; }
    std::string stored(const std::string& name) const { return store_ / ("wal_005/" + name); }

    /// The answer to one request on a connection of its own.
    proto::Frame ask(const proto::Frame& request, int fd = -1) const {
        proto::Client client;
        proto::Frame answer;
        if (client.connect(socket()) != proto::Client::Connected::yes || !client.send(request, fd) || !client.receive(answer, 30))
            throw Error(ErrorKind::failed, client.error());
        return answer;
    }
    proto::Frame push(const std::string& name, const std::string& text) const {
        const auto path = folder_ / (name + ".source");
        write_file_atomically(path, bytes_of(text), 0600);
        const auto file = open_file(path, O_RDONLY);
        return ask({proto::Type::wal_push, 1, {name}}, file.get());
    }

private:
    test::TemporaryFolder folder_, store_;
    asio::io_context io_{1};
    asio::executor_work_guard<asio::io_context::executor_type> guard_ = asio::make_work_guard(io_);
    asio::thread_pool pool_{2};
    std::unique_ptr<storage::Storage> storage_ = storage::make_file_storage(store_.path(), pool_.get_executor());
    MemoryBudget budget_{64 << 20};
    std::shared_ptr<Log> log_ = silent_log();
    archive::Archive archive_{
        *storage_, {codec::compression_by_name("zstd"), "", nullptr}, io_.get_executor(), pool_.get_executor(), budget_, *log_};
    WalService wal_{archive_, {}};
    Jobs jobs_{archive_};
    Listener listener_{{folder_ / "walgd.sock", "WALGD_SOCKET"}};
    /// Of a server that is not there.
    backup::PushOptions push_options() const {
        backup::PushOptions options;
        options.connection["host"] = folder_.path();
        return options;
    }
    /// More than a frame, of the archive "here" alone.
    static Server::Services::Catalogue catalogue(const proto::Frame& asked) {
        if (asked.field(0) != "here") return {.text = {}, .refusal = "it keeps another archive"};
        return {.text = std::string(3 * proto::frame_bytes_max, 'x'), .refusal = {}, .age = std::chrono::milliseconds(1500)};
    }
    Server server_{{archive_, wal_, jobs_, [this](const proto::BackupRequest&) { return push_options(); },
                    [](bool json) { return json ? std::string(2 * proto::frame_bytes_max, 'x') : std::string("fine"); },
                    [] { return "reloaded"; }, [](const proto::Frame& asked) { return catalogue(asked); },
                    [](const proto::Frame&, bool) {},
                    [](const proto::BackupRequest& asked) { return asked.place == "there" ? "it keeps another archive" : ""; }},
                   listener_.release()};
    TaskGroup tasks_ = start();
    std::thread thread_;

    TaskGroup start() {
        return TaskGroup(io_.get_executor(), [](std::exception_ptr) {});
    }
    struct Spawn {
        explicit Spawn(Served& served) { served.tasks_.spawn(served.server_.run()); }
    } spawn_{*this};
};

std::string name_of_segment(std::uint64_t number) { return fmt::format("0000000100000000{:08X}", number); }

std::string content_of_segment(std::uint64_t number) {
    test::WalHeaderText header;
    header.address = number << 20;
    return test::segment_text(header, static_cast<unsigned>(number));
}

} // namespace

TEST_CASE("pushes of many connections at once are all stored and answered", "[daemon]") {
    const Served served;
    std::vector<std::thread> clients;
    std::atomic<int> stored = 0;
    for (std::uint64_t number = 1; number <= 12; ++number) {
        clients.emplace_back([&served, &stored, number] {
            if (served.push(name_of_segment(number), content_of_segment(number)).type == proto::Type::ok) ++stored;
        });
    }
    for (auto& client : clients) client.join();
    CHECK(stored == 12);
    for (std::uint64_t number = 1; number <= 12; ++number)
        CHECK(std::filesystem::exists(served.stored(name_of_segment(number) + ".zst")));
}

TEST_CASE("a backup for another archive is not taken", "[daemon]") {
    const Served served;
    const auto refused = served.ask({proto::Type::backup_push, 1, {"", "", "", "", "", "there"}});
    CHECK(refused.type == proto::Type::absent);
    CHECK(refused.field(0) == "it keeps another archive");
    for (const auto* place : {"here", ""}) {
        const auto tried = served.ask({proto::Type::backup_push, 1, {"", "", "", "", "", place}});
        CHECK(tried.type == proto::Type::error); // no server is there
        CHECK(tried.field(1).find("archive") == std::string_view::npos);
    }
}

TEST_CASE("what is known of the archive comes in parts, and to who asks for another archive not at all", "[daemon]") {
    const Served served;
    proto::Client client;
    REQUIRE(client.connect(served.socket()) == proto::Client::Connected::yes);
    REQUIRE(client.send({proto::Type::catalogue, 1, {"here", "b"}}));
    std::string text;
    proto::Frame frame;
    while (client.receive(frame, 30) && frame.type == proto::Type::part) text += frame.field(0);
    CHECK(text == std::string(3 * proto::frame_bytes_max, 'x'));
    CHECK(frame.type == proto::Type::ok);
    CHECK(frame.field(0) == "1500");
    const auto refused = served.ask({proto::Type::catalogue, 1, {"there"}});
    CHECK(refused.type == proto::Type::absent);
    CHECK(refused.field(0) == "it keeps another archive");
}

TEST_CASE("a fetch fills the descriptor that it was given, or says that there is none", "[daemon]") {
    const Served served;
    const auto content = content_of_segment(1);
    REQUIRE(served.push(name_of_segment(1), content).type == proto::Type::ok);
    const test::TemporaryFolder folder;
    const auto file = open_file(folder / "out", O_RDWR | O_CREAT | O_EXCL);
    CHECK(served.ask({proto::Type::wal_fetch, 9, {name_of_segment(1)}}, file.get()).type == proto::Type::ok);
    CHECK((read_text_file(folder / "out") == content));
    const auto other = open_file(folder / "other", O_RDWR | O_CREAT | O_EXCL);
    const auto answer = served.ask({proto::Type::wal_fetch, 10, {name_of_segment(2)}}, other.get());
    CHECK(answer.type == proto::Type::absent);
    CHECK(answer.request == 10);
}

TEST_CASE("an error says kind, cause and next step, and the connection goes on", "[daemon]") {
    const Served served;
    const auto answer = served.push(name_of_segment(2), content_of_segment(1));
    CHECK(answer.type == proto::Type::error);
    CHECK_THAT(std::string(answer.field(1)), Catch::Contains(name_of_segment(2)));
    CHECK(served.ask({proto::Type::wal_push, 1, {name_of_segment(1)}}).type == proto::Type::error); // without a descriptor
    CHECK(served.ask({static_cast<proto::Type>(50), 1, {}}).type == proto::Type::error);
    CHECK(served.ask({proto::Type::ping, 1, {}}).type == proto::Type::ok);
    CHECK(served.ask({proto::Type::status, 1, {"text"}}).field(0) == "fine");
}

TEST_CASE("an answer that is too long for a frame is an error, and not silence", "[daemon]") {
    const Served served;
    const auto answer = served.ask({proto::Type::status, 1, {"json"}});
    CHECK(answer.type == proto::Type::error);
    CHECK_THAT(std::string(answer.field(1)), Catch::Contains("more than"));
    CHECK(served.ask({proto::Type::status, 2, {"text"}}).field(0) == "fine");
}

TEST_CASE("once the daemon has looked at the storage, its first push is a single request", "[daemon]") {
    test::FileBackend backend;
    test::CountingStorage counting(backend.storage());
    MemoryBudget budget(64 << 20);
    const auto log = silent_log();
    archive::Archive archive{
        counting, {codec::compression_by_name("zstd"), "", nullptr}, backend.loop.executor(), backend.pool(), budget, *log};
    const test::TemporaryFolder folder;
    const auto push = [&](WalService& wal, std::uint64_t number) {
        const auto path = folder / "source";
        write_file_atomically(path, bytes_of(content_of_segment(number)), 0600);
        return backend.loop.run(wal.push(name_of_segment(number), open_file(path, O_RDONLY)));
    };
    WalService before(archive, {});
    push(before, 1); // from now on the archive is this cluster's
    WalService wal(archive, {});
    backend.loop.run(wal.find_out_conditional_put());
    counting.calls = 0;
    CHECK_FALSE(push(wal, 2).already_there);
    CHECK(counting.calls == 1);
}

TEST_CASE("a job's end is answered when it comes, not at the next word of its progress", "[daemon]") {
    const Served served;
    proto::Client client;
    REQUIRE(client.connect(served.socket()) == proto::Client::Connected::yes);
    constexpr int jobs = 5;
    int words = 0;
    for (int number = 1; number <= jobs; ++number) {
        REQUIRE(client.send({proto::Type::backup_push, static_cast<std::uint32_t>(number), {"", "", ""}}));
        proto::Frame answer;
        do {
            REQUIRE(client.receive(answer, 30));
            words += answer.type == proto::Type::progress ? 1 : 0;
        } while (answer.type == proto::Type::progress);
        CHECK(answer.type == proto::Type::error);
        CHECK_THAT(std::string(answer.field(1)), Catch::Contains("cannot connect to PostgreSQL"));
    }
    // A busy machine may be late with one or another.
    CHECK(words < jobs);
}

TEST_CASE("nonsense on the socket ends that connection and no other", "[daemon]") {
    const Served served;
    proto::Client good;
    REQUIRE(good.connect(served.socket()) == proto::Client::Connected::yes);
    proto::Client bad;
    REQUIRE(bad.connect(served.socket()) == proto::Client::Connected::yes);
    const std::string text = "GET / HTTP/1.1\r\n\r\n";
    REQUIRE(::send(bad.descriptor(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
    proto::Frame answer;
    while (bad.receive(answer, 30)) {
    }
    REQUIRE(good.send({proto::Type::ping, 3, {}}));
    CHECK(good.receive(answer, 30));
    CHECK(answer.type == proto::Type::ok);
}

TEST_CASE("a live daemon's socket is not taken over, a dead one's is", "[daemon]") {
    const test::TemporaryFolder folder;
    const SocketPlace place{folder / "walgd.sock", "WALGD_SOCKET"};
    {
        Listener dead(place);
        const UniqueFd closed(dead.release());
    }
    Listener alive(place);
    CHECK(test::kind_of([&] { Listener second(place); }) == ErrorKind::refused);
}

TEST_CASE("of daemons that start in the same moment one has the socket, and the others are refused", "[daemon]") {
    constexpr unsigned rounds = 20, at_once = 4;
    const test::TemporaryFolder folder;
    for (unsigned round = 0; round < rounds; ++round) {
        const SocketPlace place{folder / std::to_string(round), "WALGD_SOCKET"};
        std::array<std::unique_ptr<Listener>, at_once> listeners;
        std::atomic<unsigned> refused = 0;
        std::barrier begin(at_once);
        std::vector<std::jthread> threads;
        for (auto& listener : listeners) {
            threads.emplace_back([&] {
                begin.arrive_and_wait();
                try {
                    listener = std::make_unique<Listener>(place);
                } catch (const Error& error) {
                    if (error.kind() == ErrorKind::refused) ++refused;
                }
            });
        }
        threads.clear();
        CHECK(refused == at_once - 1);
    }
}

TEST_CASE("a file that is no socket is not replaced by one", "[daemon]") {
    const test::TemporaryFolder folder;
    const auto path = folder / "precious";
    write_file_atomically(path, bytes_of(std::string("content")), 0600);
    CHECK(test::kind_of([&] { Listener listener({path, "WALGD_WALG_SOCKET"}); }) == ErrorKind::refused);
    CHECK(read_text_file(path) == "content");
}

} // namespace walgd::daemon
