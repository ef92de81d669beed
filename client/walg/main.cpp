// walg: the operator's command line. Called as wal-g, it is WAL-G to the letter: its texts and exit codes.
#include "client/walg/daemon_client.hpp"
#include "client/walg/read_words.hpp"
#include "client/walg/verb.hpp"
#include "client/walg/words.hpp"
#include "common/base/standard_streams.hpp"
#include "config/process.hpp"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <iostream>
#include <malloc.h>
#include <poll.h>
#include <stop_token>
#include <thread>
#include <unistd.h>

using namespace walgd;

namespace {

/// Signals this close are one wish.
constexpr std::chrono::seconds one_signal{1};

struct CommandLine {
    std::string config_file;
    std::map<std::string, std::string> settings; ///< by WAL-G's flag spelling
    cli::Verb* verb = nullptr;
    bool stats = false;
    bool turbo = false; ///< WAL-G's: no throttling. There is none
};

std::string version_text(bool as_walg) {
    return as_walg ? "wal-g version " WALGD_VERSION "\t\t\tPostgreSQL" : "walg (walgd) " WALGD_VERSION;
}

void add_options(CLI::App& app, CommandLine& line, const std::vector<std::unique_ptr<cli::Verb>>& verbs, bool as_walg) {
    app.set_version_flag("-v,--version", version_text(as_walg));
    auto* config =
        app.add_option("--config", line.config_file,
                       "Settings file; else WALG_CONFIG_PATH, /etc/walgd/walgd.yaml, ~/.walg.json or another of ~/.walg.*");
    config->take_last();
    if (!as_walg) config->check(cli::says_something);
    app.footer("Every setting is a flag too (--walg-s3-prefix for WALG_S3_PREFIX): `" + app.get_name() + " flags` lists them.");
    app.add_flag("--stats", line.stats, "Tell at the end how many requests went to the storage")->group("");
    app.add_flag("--turbo", line.turbo, "Accepted as WAL-G's: nothing is throttled")->group("");
    app.require_subcommand(1);
    app.fallthrough();
    for (const auto& flag : cli::setting_flags()) {
        app.add_option_function<std::string>("--" + flag,
                                             [&line, flag](const std::string& value) { line.settings[flag] = value; })
            ->take_last()
            ->group("");
    }
    for (const auto& verb : verbs) {
        if (as_walg && !verb->in_walg()) continue;
        auto* command = app.add_subcommand(verb->name(), verb->help());
        command->fallthrough();
        verb->options(*command);
        cli::show_flags_below(*command);
        cli::read_values_as_go(*command, !as_walg); // to WAL-G the empty text is what is not given
        command->callback([&line, verb = verb.get()] { line.verb = verb; });
    }
}

/// The exit code of a command line that cannot be parsed: the named verb's.
int usage_code(const std::vector<std::unique_ptr<cli::Verb>>& verbs, int count, char** words, bool as_walg) {
    for (int index = 1; index < count; ++index) {
        for (const auto& verb : verbs) {
            if (verb->name() == words[index]) return verb->usage_code({words + index + 1, words + count}, as_walg);
        }
    }
    return 1;
}

void tell_requests(const std::map<std::string, std::uint64_t>& requests) {
    std::uint64_t sum = 0;
    std::string text;
    for (const auto& [verb, count] : requests) {
        sum += count;
        text += fmt::format("{}{} {}", text.empty() ? " (" : ", ", verb, count);
    }
    std::cerr << fmt::format("{} storage requests{}{}\n", sum, text, text.empty() ? "" : ")");
}

/// As cobra has it: a command that wants another one prints its help, also where the word behind it is none (`delete RETAIN 1`).
/// Only the first word of all must be a command.
bool wants_help(const CLI::App& app, const cli::CommandWords& found) {
    const auto rest = app.remaining(true);
    if (found.unknown.empty()) return found.is_group && rest.empty();
    return found.command != &app && std::ranges::none_of(rest, [](const std::string& word) { return word.starts_with("-"); });
}

/// Wrong usage, in the shape that WAL-G's users know, or in ours. Returns the exit code.
int tell_usage_error(const cli::CommandWords& found, const std::string& error, bool as_walg, int code) {
    const auto text = found.unknown.empty() ? error : cli::unknown_word_text(found, as_walg);
    if (!as_walg) {
        std::cerr << "ERROR: " << text << "\nHINT: " << found.path << " --help\n";
        return code;
    }
    std::cout << text << "\n";
    std::cerr << "Error: " << text << "\nRun 'wal-g --help' for usage.\n";
    return code;
}

/// What did not arrive was not told. A reader that has seen enough is none of our business.
void check_stdout() {
    if (std::cout.flush()) return;
    pollfd reader{STDOUT_FILENO, POLLOUT, 0};
    if (::poll(&reader, 1, 0) == 1 && (reader.revents & (POLLERR | POLLHUP)) != 0) return;
    throw Error(ErrorKind::failed, "what was to be printed cannot be written to stdout", "is the disk full?");
}

/// --help and --version. Returns the exit code.
int tell_help(const CLI::App& app, const CLI::ParseError& asked) {
    const int code = app.exit(asked, std::cout, std::cerr);
    try {
        check_stdout();
        return code;
    } catch (const Error& error) {
        std::cerr << "ERROR: " << error.what() << "\nHINT: " << error.hint() << "\n";
        return 1;
    }
}

/// What is being caught, as a command tells it. Returns the exit code.
int tell_failure(Log& log, const CommandLine& line, bool as_walg) {
    const auto error = as_error(std::current_exception());
    log.error("{}", error.what());
    if (!error.hint().empty() && !as_walg) std::cerr << "HINT: " << error.hint() << "\n";
    return line.verb->failure_code(as_walg);
}

/// By nohup, say, whose wish that is.
bool is_ignored(int signal) {
    struct sigaction how{};
    return ::sigaction(signal, nullptr, &how) == 0 && how.sa_handler == SIG_IGN;
}

/// Asks the command to stop at a signal. A person's second one does not wait for what the first one stops.
class StopSignals {
public:
    explicit StopSignals(asio::io_context& io) : signals_(io, SIGINT, SIGTERM) {
        if (!is_ignored(SIGHUP)) signals_.add(SIGHUP);
        listen();
    }
    std::stop_token token() const { return stop_.get_token(); }
    /// On the I/O thread.
    void cancel() { signals_.cancel(); }

private:
    void listen() {
        signals_.async_wait([this](const boost::system::error_code& error, int) {
            if (error) return;
            const auto now = std::chrono::steady_clock::now();
            // timeout(1) sends two at once.
            if (stop_.request_stop())
                first_ = now;
            else if (now - first_ > one_signal)
                std::_Exit(1);
            listen();
        });
    }

    std::stop_source stop_;
    std::chrono::steady_clock::time_point first_;
    asio::signal_set signals_;
};

/// Runs the io_context until it is destroyed, which waits for what is still under way.
class IoThread {
public:
    IoThread(asio::io_context& io, StopSignals& signals) : io_(io), signals_(signals) {}
    ~IoThread() {
        asio::post(io_, [this] { signals_.cancel(); });
        guard_.reset();
        thread_.join();
    }
    IoThread(const IoThread&) = delete;

private:
    asio::io_context& io_;
    StopSignals& signals_;
    asio::executor_work_guard<asio::io_context::executor_type> guard_ = asio::make_work_guard(io_);
    std::thread thread_{[this] { io_.run(); }};
};

/// What is done when a command has ended, well or not: the daemon hears what changed, and --stats is printed.
class AtEnd {
public:
    AtEnd(const cli::Context& context, bool stats) : context_(context), stats_(stats) {}
    ~AtEnd() {
        try {
            cli::tell_daemon_of_changes(context_);
        } catch (const std::exception& error) {
            context_.log.debug("the daemon was not told of what changed: {}", error.what());
        }
        if (stats_) tell_requests(context_.requests());
    }
    AtEnd(const AtEnd&) = delete;

private:
    const cli::Context& context_;
    bool stats_;
};

int run(const CommandLine& line, bool as_walg) {
    const auto settings = config::Settings::load(config::process_sources(line.config_file, line.settings, as_walg));
    const auto log = make_log(LogStyle::walg, config::log_level(settings), settings.text("log_destination"));
    for (const auto& warning : settings.warnings()) log->warn("{}", warning);
    asio::io_context io(1);
    StopSignals signals(io);
    cli::Context context(settings, io.get_executor(), *log, as_walg, signals.token());
    context.config_file = line.config_file;
    const IoThread thread(io, signals);
    const AtEnd at_end(context, line.stats);
    try {
        const int code = line.verb->run(context);
        check_stdout();
        return code;
    } catch (const std::exception&) {
        return tell_failure(*log, line, as_walg);
    }
}

} // namespace

int main(int count, char** words) {
    open_standard_streams();
    std::signal(SIGPIPE, SIG_IGN);
    // Pieces come and go: what is freed goes back to the system instead of staying with us.
    ::mallopt(M_MMAP_THRESHOLD, 1 << 20);
    ::mallopt(M_ARENA_MAX, 4);
    const auto called = std::filesystem::path(words[0]).filename().string();
    const bool as_walg = called.starts_with("wal-g"); // wal-g-3 too, as some name their versions
    const auto verbs = cli::all_verbs();
    CommandLine line;
    CLI::App app{"walg: PostgreSQL WAL and base backups in object storage, in WAL-G's layout", as_walg ? "wal-g" : "walg"};
    add_options(app, line, verbs, as_walg);
    try {
        auto read = cli::words_as_go_reads(app, count, words);
        std::ranges::reverse(read); // as it wants them
        app.parse(std::move(read));
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) return tell_help(app, error);
        const auto code = usage_code(verbs, count, words, as_walg);
        auto found = cli::command_words(app, count, words);
        // Behind a flag that is not known its value stands like a command.
        if (!found.command->get_subcommands().empty()) found.unknown.clear();
        if (as_walg && wants_help(app, found)) {
            std::cout << cli::help_text(found);
            return 0;
        }
        std::string text = error.what();
        // The parser has no names for flags that help leaves out; what lacks a value is the last word.
        if (text.starts_with(": ")) text = fmt::format("flag needs an argument: {}", words[count - 1]);
        return tell_usage_error(found, text, as_walg, code);
    }
    try {
        if (line.verb->needs_settings()) return run(line, as_walg);
        const int code = line.verb->tell();
        check_stdout();
        return code;
    } catch (const std::exception&) {
        const auto log = make_log(LogStyle::walg, spdlog::level::info);
        return tell_failure(*log, line, as_walg);
    }
}
