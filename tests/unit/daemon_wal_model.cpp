// PostgreSQL, walgd's way out and a storage as a model: what PostgreSQL was told is stored is there, with its content, whatever
// the storage and the clock do and whenever walgd ends. Each seed is a story of its own; WALGD_MODEL_SEED=N tells one again,
// WALGD_MODEL_SEEDS=N tells so many.
#include "common/archive/chain.hpp"
#include "common/base/files.hpp"
#include "common/storage/retry/retrying_storage.hpp"
#include "daemon/wal/look_ahead.hpp"
#include "daemon/wal/wal_service.hpp"
#include "tests/unit/async_support.hpp"
#include "tests/unit/rounds.hpp"
#include "tests/unit/simulated_storage.hpp"
#include "tests/unit/wal_support.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>

namespace walgd::daemon {

namespace {

using namespace std::chrono_literals;
using End = test::SimulatedStorage::End;

constexpr std::size_t files_max = 14, actions = 120;

class ModelWorld {
public:
    explicit ModelWorld(unsigned seed) : dice_(seed) {
        Clock::stop();
        std::filesystem::create_directories(status_);
        start();
    }
    ~ModelWorld() {
        crash();
        Clock::release();
    }

    void tell_the_story() {
        for (std::size_t count = 0; count < actions; ++count) {
            act();
            settle();
        }
        // From here on nothing goes wrong any more: then everything that can be stored is, before long.
        for (int round = 0; round < 4000 && !all_archived(); ++round) {
            ask();
            settle();
            if (storage_.waiting() > 0)
                storage_.end_one(End::answered);
            else
                wind(100ms);
            settle();
        }
        INFO("asking " << asking_ << ", waiting " << storage_.waiting() << ", ready " << daemon_->wal.queue().ready_count());
        REQUIRE(all_archived());
        for (const auto& [name, content] : done_) check_stored(name, content);
        CHECK(storage_.replaced() == 0);
        for (const auto& [name, content] : planted_) CHECK(plain("wal_005/" + name + ".zst") == content);
        settle();
        crash();
        CHECK(budget_.used() == 0);
    }

private:
    struct Daemon {
        Daemon(archive::Archive& archive, const std::string& pgdata, bool rename)
            : wal(archive, {.concurrency = 4, .ahead_files = 6, .level = LevelControl(), .push_timeout = 60s}),
              look_ahead(archive, wal, {pgdata, rename}), tasks(archive.io, [](const std::exception_ptr&) {}) {
            tasks.spawn(look_ahead.run());
            tasks.spawn(wal.find_out_conditional_put());
        }
        WalService wal;
        LookAhead look_ahead;
        TaskGroup tasks;
    };

    bool chance(double share) { return std::bernoulli_distribution(share)(dice_); }
    unsigned pick(unsigned below) { return std::uniform_int_distribution<unsigned>(0, below - 1)(dice_); }

    storage::RetryEnvironment environment() {
        storage::RetryEnvironment made;
        made.sleep = [](std::chrono::milliseconds duration) { return sleep_for(duration); };
        made.now = [] { return std::chrono::steady_clock::time_point(Clock::now().time_since_epoch()); };
        made.random = [this] { return std::uniform_real_distribution<double>(0, 1)(dice_); };
        return made;
    }

    void start() { daemon_ = std::make_unique<Daemon>(archive_, pgdata_.path(), rename_); }
    /// Everything under way ends where it stands; what waited in the storage may still happen there.
    void crash() {
        if (!daemon_) return;
        daemon_->tasks.cancel();
        while (daemon_->tasks.size() > 0) {
            settle();
            if (daemon_->tasks.size() > 0) wind(1s);
        }
        daemon_.reset();
        asking_.clear();
    }
    void wind(Clock::duration by) {
        Clock::wind(by);
        // Asio looks at its timers when the kernel's timer says so, and that one knows nothing of our clock: a new earliest
        // timer makes it look.
        kick_.expires_at(Clock::time_point::min());
        kick_.async_wait([](const boost::system::error_code&) {});
    }
    void settle() {
        io_.restart();
        while (io_.poll() > 0) {
        }
    }

    void act() {
        switch (pick(12)) {
        case 0:
        case 1:
            write_file();
            break;
        case 2:
        case 3:
            ask();
            break;
        case 4:
            wind(std::chrono::milliseconds(1 << pick(17)));
            break;
        case 5:
            if (chance(0.3)) {
                crash();
                start();
            }
            break;
        case 6:
            outage_ = chance(0.3);
            break;
        case 7:
            if (chance(0.2)) plant();
            break;
        default:
            if (storage_.waiting() > 0) storage_.end_one(how_it_ends());
        }
    }
    End how_it_ends() {
        if (outage_) return End::failed;
        const auto way = pick(20);
        return way == 0 ? End::denied : way <= 2 ? End::failed : way <= 4 ? End::lost : End::answered;
    }

    std::string path(const std::string& name) const { return pgdata_ / ("pg_wal/" + name); }
    std::string status(const std::string& name, const char* how) const { return fmt::format("{}/{}.{}", status_, name, how); }
    bool exists(const std::string& file) const { return std::filesystem::exists(file); }

    /// PostgreSQL closes a segment, or writes another file that it wants archived.
    void write_file() {
        if (contents_.size() == files_max) return;
        const auto number = ++number_;
        std::string name, content;
        if (chance(0.2)) {
            name = fmt::format("{:08X}.history", number);
            content = fmt::format("1\t0/{:X}\tseed\n", number);
        } else if (chance(0.2)) {
            test::WalHeaderText header;
            header.address = std::uint64_t{number} << 20;
            name = fmt::format("00000001{:08X}{:08X}", number >> 12, number & 0xFFF);
            content = segment_content(header, number);
        } else {
            name = fmt::format("00000001{:08X}{:08X}.00000028.backup", number >> 12, number & 0xFFF);
            content = fmt::format("START WAL LOCATION: {}\n", dice_());
        }
        write(path(name), content);
        write(status(name, "ready"), "");
        contents_[name] = content;
    }
    static std::string segment_content(const test::WalHeaderText& header, unsigned number) {
        auto content = header.bytes();
        content.resize(header.segment_bytes, static_cast<char>(number));
        return content;
    }
    static void write(const std::string& file, const std::string& content) {
        const auto fd = open_file(file, O_WRONLY | O_CREAT | O_TRUNC);
        write_all(fd.get(), bytes_of(content), file);
    }

    /// Another writer stores a file of this name, with other content, before we do.
    void plant() {
        // Without a conditional put nobody can see a writer that comes between look and put.
        if (!conditional_) return;
        for (const auto& [name, content] : contents_) {
            const auto key = "wal_005/" + name + ".zst";
            if (done_.contains(name) || storage_.objects().contains(key) || planted_.contains(name)) continue;
            const auto other = content + "!";
            storage_.plant(key, packed(other));
            planted_[name] = other;
            return;
        }
    }

    /// PostgreSQL's archiver: the first .ready file, one at a time.
    void ask() {
        if (!asking_.empty()) return;
        for (const auto& [name, content] : contents_) {
            // A file that another writer was first with is refused for ever; the real PostgreSQL would stop here.
            if (!exists(status(name, "ready")) || (planted_.contains(name) && chance(0.95))) continue;
            asking_ = name;
            daemon_->tasks.spawn(request(name, content));
            return;
        }
    }
    awaitable<void> request(std::string name, std::string content) {
        bool stored = false;
        try {
            const auto file = path(name);
            co_await daemon_->wal.push(name, open_file(file, O_RDONLY));
            stored = true;
        } catch (const Error& error) {
            if (error.kind() == ErrorKind::cancelled) throw;
        }
        asking_.clear();
        if (!stored) co_return;
        CHECK_FALSE(planted_.contains(name));
        check_stored(name, content);
        if (exists(status(name, "ready"))) std::filesystem::rename(status(name, "ready"), status(name, "done"));
        note_done(name);
    }
    /// PostgreSQL may use the file for another segment as soon as it is done.
    void note_done(const std::string& name) {
        done_[name] = contents_[name];
        if (chance(0.5)) write(path(name), "recycled");
    }
    bool all_archived() {
        for (const auto& [name, content] : contents_) {
            if (exists(status(name, "done")) && !done_.contains(name)) {
                // Renamed ahead of us: the same promise as an answer.
                check_stored(name, content);
                done_[name] = content;
            }
        }
        return std::ranges::all_of(
            contents_, [this](const auto& file) { return done_.contains(file.first) || planted_.contains(file.first); });
    }

    void check_stored(const std::string& name, const std::string& content) {
        INFO(name);
        CHECK(plain("wal_005/" + name + ".zst") == content);
    }
    std::string packed(const std::string& content) {
        codec::BlobSink end;
        archive::PackChain chain(archive_.packing, codec::Content::wal, end);
        chain.head().write(bytes_of(content));
        chain.head().finish();
        return std::string(text_of(end.take().view()));
    }
    std::string plain(const std::string& key) {
        const auto found = storage_.objects().find(key);
        if (found == storage_.objects().end()) return "there is no such object";
        codec::BlobSink end;
        archive::UnpackChain chain(nullptr, *archive_.packing.compression, end);
        chain.head().write(bytes_of(found->second));
        chain.head().finish();
        return std::string(text_of(end.take().view()));
    }

    std::mt19937 dice_;
    asio::io_context io_{1};
    asio::executor_work_guard<asio::io_context::executor_type> guard_ = asio::make_work_guard(io_);
    Timer kick_{io_};
    test::TemporaryFolder pgdata_;
    std::string status_ = pgdata_ / "pg_wal/archive_status";
    const bool rename_ = chance(0.3);
    const bool conditional_ = chance(0.8);
    test::SimulatedStorage storage_{io_.get_executor(), dice_, conditional_};
    MemoryBudget budget_{5 << 20};
    std::shared_ptr<Log> log_ = silent_log();
    std::unique_ptr<storage::Storage> retrying_ =
        storage::make_retrying_storage(storage_, {.attempts_max = 3}, environment(), *log_);
    archive::Archive archive_{
        *retrying_, {codec::compression_by_name("zstd"), "", nullptr}, io_.get_executor(), io_.get_executor(), budget_, *log_};
    std::unique_ptr<Daemon> daemon_;

    unsigned number_ = 0;
    bool outage_ = false;
    std::string asking_;                                        ///< the file whose request is under way
    std::map<std::string, std::string, ArchiveOrder> contents_; ///< of every file that PostgreSQL wants archived
    std::map<std::string, std::string> done_, planted_;
};

unsigned number_of(const char* variable, unsigned otherwise) {
    const char* text = std::getenv(variable);
    return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

} // namespace

TEST_CASE("what PostgreSQL was told is stored is stored, whatever happens", "[daemon][model]") {
    const auto only = number_of("WALGD_MODEL_SEED", 0);
    const auto first = only != 0 ? only : 1, count = only != 0 ? 1 : number_of("WALGD_MODEL_SEEDS", rounds(200));
    for (auto seed = first; seed < first + count; ++seed) {
        INFO("seed " << seed);
        ModelWorld(seed).tell_the_story();
    }
}

} // namespace walgd::daemon
