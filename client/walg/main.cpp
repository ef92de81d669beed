// walg: the operator's command line. Called as wal-g, it is WAL-G to the letter: its texts and exit codes. Called as
// walg-daemon-client, it is that.
#include "client/walg/daemon_client_verb.hpp"
#include "client/walg/verb.hpp"
#include "config/process.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <malloc.h>
#include <thread>

using namespace walgd;

namespace {

struct CommandLine {
    std::string config_file;
    std::map<std::string, std::string> settings; ///< by WAL-G's flag spelling
    cli::Verb* verb = nullptr;
};

/// "WALG_S3_PREFIX" as WAL-G spells it on the command line: "walg-s3-prefix".
std::string flag_of(std::string_view walg_name) {
    std::string flag(walg_name);
    for (auto& c : flag) c = c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return flag;
}

std::string version_text(bool as_walg) {
    return as_walg ? "wal-g version " WALGD_VERSION "\t\t\tPostgreSQL" : "walg (walgd) " WALGD_VERSION;
}

void add_options(CLI::App& app, CommandLine& line, const std::vector<std::unique_ptr<cli::Verb>>& verbs, bool as_walg) {
    app.set_version_flag("--version", version_text(as_walg));
    app.add_option("--config", line.config_file,
                   "Settings file; else WALG_CONFIG_PATH, /etc/walgd/walgd.yaml, ~/.walg.yaml, ~/.walg.json");
    app.footer("Every setting is a flag too (--walg-s3-prefix for WALG_S3_PREFIX): `" + app.get_name() +
               " config --reference` lists them.");
    app.require_subcommand(1);
    app.fallthrough();
    for (const auto& setting : config::settings_table()) {
        const auto flag = flag_of(setting.walg_name);
        app.add_option_function<std::string>("--" + flag,
                                             [&line, flag](const std::string& value) { line.settings[flag] = value; })
            ->group("");
    }
    for (const auto& verb : verbs) {
        auto* command = app.add_subcommand(verb->name(), verb->help());
        command->fallthrough();
        verb->options(*command);
        command->callback([&line, verb = verb.get()] { line.verb = verb; });
    }
}

/// The exit code of a command line that cannot be parsed: the named verb's.
int usage_code(const std::vector<std::unique_ptr<cli::Verb>>& verbs, int count, char** words, bool as_walg) {
    for (int index = 1; index < count; ++index) {
        for (const auto& verb : verbs) {
            if (verb->name() == words[index]) return verb->failure_code(as_walg);
        }
    }
    return 1;
}

int run(const CommandLine& line, bool as_walg) {
    const auto settings = config::Settings::load(config::process_sources(line.config_file, line.settings, as_walg));
    const auto log = make_log(LogStyle::walg, config::log_level(settings), settings.text("log_destination"));
    for (const auto& warning : settings.warnings()) log->warn("{}", warning);
    asio::io_context io(1);
    auto guard = asio::make_work_guard(io);
    std::stop_source stop;
    asio::signal_set signals(io, SIGINT, SIGTERM, SIGHUP);
    std::function<void()> listen = [&] {
        signals.async_wait([&](const boost::system::error_code& error, int) {
            if (error) return;
            // The second one does not wait for what the first one stops.
            if (!stop.request_stop()) std::_Exit(1);
            listen();
        });
    };
    listen();
    cli::Context context(settings, io.get_executor(), *log, as_walg, stop.get_token());
    context.config_file = line.config_file;
    struct Joined {
        asio::io_context& io;
        asio::executor_work_guard<asio::io_context::executor_type>& guard;
        asio::signal_set& signals;
        std::thread thread{[this] { io.run(); }};
        ~Joined() {
            asio::post(io, [this] { signals.cancel(); });
            guard.reset();
            thread.join();
        }
    };
    const Joined joined{io, guard, signals};
    try {
        return line.verb->run(context);
    } catch (const std::exception&) {
        const auto error = as_error(std::current_exception());
        log->error("{}", error.what());
        if (!error.hint().empty() && !as_walg) std::cerr << "HINT: " << error.hint() << "\n";
        return line.verb->failure_code(as_walg);
    }
}

} // namespace

int main(int count, char** words) {
    std::signal(SIGPIPE, SIG_IGN);
    // Pieces come and go: what is freed goes back to the system instead of staying with us.
    ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
    ::mallopt(M_ARENA_MAX, 4);
    const auto called = std::filesystem::path(words[0]).filename().string();
    if (called == "walg-daemon-client") return cli::run_daemon_client({words + 1, words + count});
    const bool as_walg = called == "wal-g";
    const auto verbs = cli::all_verbs();
    CommandLine line;
    CLI::App app{"walg: PostgreSQL WAL and base backups in object storage, in WAL-G's layout", as_walg ? "wal-g" : "walg"};
    add_options(app, line, verbs, as_walg);
    try {
        app.parse(count, words);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error, std::cout, std::cerr);
        return code == 0 ? 0 : usage_code(verbs, count, words, as_walg);
    }
    try {
        return run(line, as_walg);
    } catch (const std::exception&) {
        const auto error = as_error(std::current_exception());
        std::cerr << "ERROR: " << error.what() << "\n";
        if (!error.hint().empty() && !as_walg) std::cerr << "HINT: " << error.hint() << "\n";
        return line.verb->failure_code(as_walg);
    }
}
