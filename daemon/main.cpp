// walgd: reads the settings, builds every part, wires them, and ends when PostgreSQL no longer needs it.
#include "common/base/code_pages.hpp"
#include "common/base/files.hpp"
#include "common/base/in_quotes.hpp"
#include "common/base/standard_streams.hpp"
#include "common/base/worker_pool.hpp"
#include "config/check.hpp"
#include "config/process.hpp"
#include "config/settings.hpp"
#include "config/setup.hpp"
#include "daemon/daemon_settings.hpp"
#include "daemon/drain.hpp"
#include "daemon/gap_healer.hpp"
#include "daemon/http/pages.hpp"
#include "daemon/reload.hpp"
#include "daemon/schedule/schedule_settings.hpp"
#include "daemon/schedule/scheduled_work.hpp"
#include "daemon/socket/descriptor_limit.hpp"
#include "daemon/socket/listener.hpp"
#include "daemon/socket/server.hpp"
#include "daemon/socket/walg_socket.hpp"
#include "daemon/status.hpp"
#include "daemon/storage_state.hpp"
#include "daemon/wal/delta_maps.hpp"
#include "daemon/wal/look_ahead.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <charconv>
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <fmt/format.h>
#include <iostream>
#include <malloc.h>
#include <optional>
#include <sys/prctl.h>
#include <systemd/sd-daemon.h>
#include <thread>

using namespace walgd;

namespace {

/// What the commit-time index lacks can be made from the WAL: nobody waits long for it.
awaitable<void> write_last_notes(daemon::CommitIndexer& index, Log& log) {
    constexpr std::chrono::seconds enough{3};
    std::optional<Error> failure;
    try {
        co_await within(enough, index.flush(), "the storage did not take the last of the commit-time index");
    } catch (const Error& error) {
        failure = error;
    }
    if (failure) log.debug("event=commit_index_not_written error={}", in_quotes(failure->what()));
}

/// SIGHUP and SIGUSR1 come from log rotation and reloads at any time, and until somebody hears them each would end walgd:
/// held back, they come when it serves.
void hold_reload_signals(int how) {
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGHUP);
    sigaddset(&held, SIGUSR1);
    ::pthread_sigmask(how, &held, nullptr);
}

struct Origin {
    std::string config_file;
    bool as_walg = false; ///< started by `wal-g daemon`: an unknown setting is a warning, as for all of wal-g
};

config::Settings load_settings(const Origin& origin) {
    auto sources = config::process_sources(origin.config_file, {}, origin.as_walg);
    sources.daemon = true;
    return config::Settings::load(sources);
}

int check(const config::Settings& settings, Log& log) {
    if (!settings.text("walg_socket").empty()) const daemon::DataDirectory known(settings.text("pgdata"));
    asio::io_context io;
    daemon::check_settings(settings, io.get_executor(), log);
    if (::geteuid() != 0) daemon::prefetch_options(settings); // root would make a folder that is not walgd's
    auto guard = asio::make_work_guard(io);
    config::ArchiveSetup setup(settings, io.get_executor(), log);
    std::jthread thread([&io] { io.run(); });
    const int code = config::run_check(settings, setup.archive(), std::cout);
    guard.reset();
    return std::cout.flush() ? code : 1;
}

/// Every part of walgd, in the order in which each needs the ones before it.
class Daemon {
public:
    Daemon(config::Settings settings, Origin origin, Log& log);
    /// Until PostgreSQL no longer needs it.
    void run();

private:
    std::unique_ptr<daemon::HttpServer> http_server();
    std::map<daemon::Task, daemon::Scheduler::Work> works();
    awaitable<std::string> scheduled_backup(bool full);
    awaitable<std::string> verify();
    awaitable<std::string> scheduled_retention();
    daemon::StatusSources sources();
    daemon::ClientCounters clients() const { return daemon::together(server_.counters(), walg_socket_.counters()); }
    bool sockets_stay() const { return listener_.inherited() && walg_socket_.stays(); }
    std::string status(bool json) { return daemon::status_text(sources(), json); }
    std::string reload();
    daemon::Server::Services::Catalogue catalogue(const proto::Frame& request);
    void note_change(const proto::Frame& request, bool trusted);
    std::string backup_elsewhere(const proto::BackupRequest& request) const;
    std::string_view encryption() const;
    awaitable<bool> heal_gaps(const daemon::ArchiveView& view);
    void spawn_tasks();
    awaitable<void> serve_and_drain();

    config::Settings settings_;
    Origin origin_;
    Log& log_;
    std::chrono::system_clock::time_point started_ = std::chrono::system_clock::now();
    asio::io_context io_{1};
    asio::signal_set signals_{io_, SIGTERM, SIGINT}, reload_signals_{io_, SIGHUP, SIGUSR1};
    config::ArchiveSetup setup_{settings_, io_.get_executor(), log_};
    archive::Archive& archive_ = setup_.archive();
    std::string place_ = config::archive_place(settings_);
    daemon::CommitIndexer index_{archive_};
    bool indexing_ = settings_.flag("commit_index");
    std::optional<daemon::DeltaMaps> delta_maps_;
    daemon::WalService wal_{archive_, daemon::wal_limits(settings_), daemon::prefetch_options(settings_),
                            indexing_ ? &index_ : nullptr};
    daemon::LookAhead look_ahead_{archive_, wal_, {settings_.text("pgdata"), settings_.flag("pg_ready_rename")}};
    daemon::Jobs jobs_{archive_};
    daemon::SystemdSockets sockets_ = daemon::SystemdSockets::take();
    bool two_sockets_ = sockets_.walg || !settings_.text("walg_socket").empty();
    std::size_t connections_ = daemon::connections_max(daemon::raised_descriptor_limit(), two_sockets_ ? 2 : 1);
    // Our socket comes last: who finds it finds the others too.
    std::unique_ptr<daemon::HttpServer> http_ = http_server();
    daemon::WalgSocket walg_socket_{settings_, std::move(sockets_.walg), archive_, wal_, connections_};
    daemon::Listener listener_{{settings_.text("socket"), "WALGD_SOCKET"}, std::move(sockets_.walgd)};
    daemon::Server server_{{archive_, wal_, jobs_,
                            [this](const proto::BackupRequest& request) { return daemon::job_options(settings_, request); },
                            [this](bool json) { return status(json); }, [this] { return reload(); },
                            [this](const proto::Frame& request) { return catalogue(request); },
                            [this](const proto::Frame& request, bool trusted) { note_change(request, trusted); },
                            [this](const proto::BackupRequest& request) { return backup_elsewhere(request); }},
                           listener_.release(),
                           connections_};
    daemon::Hooks hooks_{io_.get_executor(), log_, daemon::hook_options(settings_)};
    WorkerPool job_thread_{1};
    std::stop_source stopping_;
    daemon::Scheduler scheduler_{
        daemon::schedule_of(settings_, std::chrono::floor<std::chrono::seconds>(started_)),
        {archive_, hooks_, config::connection_options(settings_), works(), [this] { return jobs_.running(); }}};
    daemon::ArchiveWatch archive_watch_{archive_, daemon::watch_options(settings_)};
    daemon::GapHealer gap_healer_{wal_, hooks_, log_, settings_.text("pgdata")};
    TaskGroup tasks_;
    daemon::PageActions actions_{archive_,
                                 tasks_,
                                 {[this] { jobs_.start(config::push_options(settings_)); }, [this] { return verify(); },
                                  [this] { archive_watch_.changed(); }}};
    daemon::Pages pages_{[this] { return sources(); }, actions_};
};

Daemon::Daemon(config::Settings settings, Origin origin, Log& log)
    : settings_(std::move(settings)), origin_(std::move(origin)), log_(log),
      tasks_(io_.get_executor(), [this](std::exception_ptr what) {
          if (as_error(what).kind() != ErrorKind::cancelled) log_.debug("event=task_ended error={}", in_quotes(describe(what)));
      }) {
    if (settings_.flag("use_wal_delta")) delta_maps_.emplace(archive_, settings_.text("pgdata"));
    archive_.health->on_turn(daemon::storage_state_logger(log_));
    wal_.on_stored([this](const std::string& name, const archive::WalPushed& result) {
        // Of what somebody else stored, the size there is not known.
        archive_watch_.stored(name, result.already_there ? 0 : result.stored_bytes);
        if (delta_maps_) delta_maps_->stored(name, result.plain_bytes);
    });
    jobs_.on_end([this] { archive_watch_.changed(); });
    archive_watch_.on_look([this](const daemon::ArchiveView& view) {
        wal_.seen(view.wal);
        return heal_gaps(view);
    });
}

/// Nothing where no address is set. It asks the other parts only once it runs.
std::unique_ptr<daemon::HttpServer> Daemon::http_server() {
    if (settings_.text("http_listen").empty()) return nullptr;
    daemon::HttpServer::Pages pages{[this](daemon::PageQuestion question) { return pages_.answer(std::move(question)); },
                                    [this] { return pages_.event(); }};
    return std::make_unique<daemon::HttpServer>(io_.get_executor(), log_, daemon::http_options(settings_), std::move(pages));
}

std::map<daemon::Task, daemon::Scheduler::Work> Daemon::works() {
    return {{daemon::Task::full, [this] { return scheduled_backup(true); }},
            {daemon::Task::delta, [this] { return scheduled_backup(false); }},
            {daemon::Task::verify, [this] { return verify(); }},
            {daemon::Task::retention, [this] { return scheduled_retention(); }}};
}

awaitable<std::string> Daemon::scheduled_retention() {
    // Also where it ends in the middle: what was removed until then is gone.
    struct Changed {
        daemon::ArchiveWatch& watch;
        ~Changed() { watch.changed(); }
    } const changed{archive_watch_};
    auto told = co_await daemon::apply_retention(archive_, config::retention_policy(settings_));
    co_return told;
}

awaitable<std::string> Daemon::scheduled_backup(bool full) {
    auto options = config::push_options(settings_);
    options.delta.full = full;
    return jobs_.run(std::move(options));
}

awaitable<std::string> Daemon::verify() {
    const backup::VerifyOptions options{.since_last = true, .bytes_max = settings_.bytes("verify_bytes")};
    return daemon::verify_archive(archive_, job_thread_.get_executor(), options, stopping_.get_token());
}

daemon::StatusSources Daemon::sources() {
    return {archive_,   wal_,           look_ahead_,
            jobs_,      clients(),      started_,
            scheduler_, archive_watch_, http_ ? http_->certificate_end() : std::nullopt};
}

std::string Daemon::reload() {
    auto load = [this] {
        auto next = load_settings(origin_);
        daemon::check_settings(next, io_.get_executor(), log_);
        return next;
    };
    return daemon::reload(settings_, load, log_);
}

daemon::Server::Services::Catalogue Daemon::catalogue(const proto::Frame& request) {
    if (request.field(0) != place_) return {.text = {}, .refusal = "it keeps another archive: " + place_};
    if (auto why = archive_watch_.stale(); !why.empty()) return {.text = {}, .refusal = std::move(why)};
    const bool whole = request.field(1) == "d";
    const auto summary = daemon::summary_of(archive_watch_.view(), whole || request.field(1) == "b");
    return {.text = archive::to_text(summary, whole ? archive::Documents::whole : archive::Documents::places),
            .refusal = {},
            .age = archive_watch_.age()};
}

void Daemon::note_change(const proto::Frame& request, bool trusted) {
    if (request.fields.empty() || !trusted) {
        archive_watch_.changed();
        return;
    }
    std::uint64_t bytes = 0;
    const auto digits = request.field(2);
    std::from_chars(digits.data(), digits.data() + digits.size(), bytes);
    if (request.field(0) == place_) archive_watch_.stored(std::string(request.field(1)), bytes);
}

std::string Daemon::backup_elsewhere(const proto::BackupRequest& request) const {
    return daemon::backup_elsewhere(settings_, {place_, encryption()}, request);
}

std::string_view Daemon::encryption() const {
    return archive_.packing.cipher == nullptr ? "none" : archive_.packing.cipher->name();
}

awaitable<bool> Daemon::heal_gaps(const daemon::ArchiveView& view) {
    const bool backup_since = view.valid_backups > 0;
    const auto healed = co_await gap_healer_.heal(daemon::gaps_of(view), view.wal.segment_bytes, backup_since);
    co_return healed > 0;
}

void Daemon::spawn_tasks() {
    tasks_.spawn(server_.run());
    daemon::keep_reachable(tasks_, listener_, server_);
    walg_socket_.start(tasks_);
    if (http_) tasks_.spawn(http_->run());
    tasks_.spawn(archive_watch_.run());
    tasks_.spawn(look_ahead_.run());
    tasks_.spawn(setup_.watch_storages());
    tasks_.spawn(wal_.find_out_conditional_put());
    tasks_.spawn(wal_.run_prefetch());
    tasks_.spawn(wal_.run_rest());
    tasks_.spawn(scheduler_.run());
    tasks_.spawn(scheduler_.tell_running());
    tasks_.spawn(hooks_.run());
    tasks_.spawn(daemon::watch_lag(wal_, hooks_, settings_.duration("hook_lag")));
    if (indexing_) tasks_.spawn(index_.run());
    if (delta_maps_) tasks_.spawn(delta_maps_->run());
    tasks_.spawn(daemon::watchdog());
    tasks_.spawn(daemon::reload_on_signal(reload_signals_, log_, [this] { return reload(); }));
}

awaitable<void> Daemon::serve_and_drain() {
    daemon::DrainOptions drain{settings_.text("pgdata"), settings_.duration("drain_timeout"), sockets_stay()};
    drain.stop_accepting = [this] {
        server_.stop_accepting();
        walg_socket_.stop_accepting();
    };
    drain.connections = [this] { return clients().connections; };
    co_await daemon::wait_and_drain(signals_, wal_, jobs_, drain, log_);
    if (jobs_.running()) {
        // Told to stop now: a job's thread may be waiting for the storage, and is not waited for. The next run cleans up
        // after it.
        log_.warn("event=stopped_with_backup_running");
        std::_Exit(1);
    }
    stopping_.request_stop();
    co_await write_last_notes(index_, log_);
    tasks_.cancel();
    co_await tasks_.join();
}

void Daemon::run() {
    hold_reload_signals(SIG_UNBLOCK);
    spawn_tasks();
    std::exception_ptr failure;
    asio::co_spawn(io_, serve_and_drain(), [&failure](std::exception_ptr what) { failure = what; });
    for (const auto& warning : settings_.warnings()) log_.warn("event=settings text={}", in_quotes(warning));
    log_.info("event=started version={} storage={} socket={} walg_socket={} http={} compression={} encryption={}", WALGD_VERSION,
              archive_.storage.describe(), settings_.text("socket"), walg_socket_.path(), http_ ? http_->address() : "",
              archive_.packing.compression->name(), encryption());
    ::sd_notify(0, "READY=1\nSTATUS=serving");
    drop_code_pages();
    io_.run();
    if (failure) std::rethrow_exception(failure);
    log_.info("event=stopped");
}

} // namespace

int main(int count, char** words) {
    open_standard_streams();
    hold_reload_signals(SIG_BLOCK);
    std::signal(SIGPIPE, SIG_IGN);
    // Keys and secrets are in memory and environment: nobody else reads those, and no core file holds them.
    ::prctl(PR_SET_DUMPABLE, 0);
    // Packed segments come and go: what is freed goes back to the system instead of staying with us.
    ::mallopt(M_MMAP_THRESHOLD, 256 << 10);
    ::mallopt(M_ARENA_MAX, 2);
    CLI::App app{"walgd: keeps a PostgreSQL cluster's WAL and base backups in object storage", "walgd"};
    Origin origin;
    bool only_check = false;
    app.add_flag("--as-wal-g", origin.as_walg, "As `wal-g daemon` starts it: an unknown setting is a warning")->group("");
    app.add_option("--config", origin.config_file,
                   "Settings file; else WALG_CONFIG_PATH, /etc/walgd/walgd.yaml, ~/.walg.json or another of ~/.walg.*")
        ->check([](const std::string& file) { return std::string(file.empty() ? "is empty: is a variable not set?" : ""); });
    app.add_flag("--check", only_check, "Try settings, storage and the PostgreSQL connection, say what was found, and end");
    app.set_version_flag("--version", "walgd " WALGD_VERSION);
    app.footer("Settings also come from WAL-G's environment variables: `walg config --reference` lists them.\n"
               "With WALGD_WALG_SOCKET=PATH it also serves walg-daemon-client and the walg_archive module, at that path.");
    try {
        app.parse(count, words);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error);
        return std::cout.flush() ? code : 1;
    }
    try {
        const auto settings = load_settings(origin);
        const auto style = settings.text("log_format") == "json" ? LogStyle::json : LogStyle::daemon;
        const auto log = make_log(style, config::log_level(settings), settings.text("log_destination"));
        if (only_check) return check(settings, *log);
        Daemon(settings, origin, *log).run();
        return 0;
    } catch (const std::exception&) {
        const auto error = as_error(std::current_exception());
        std::cerr << "walgd: " << error.what() << "\n";
        if (!error.hint().empty()) std::cerr << "HINT: " << error.hint() << "\n";
        return 1;
    }
}
