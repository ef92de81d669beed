#include "client/walg/recovery_start.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/pg/control_file.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

extern char** environ;

namespace walgd::cli {

namespace {

constexpr std::chrono::milliseconds poll_interval{200}, program_poll_interval{20};

/// Its exit code, or -1. When `stop` is requested it is ended, too.
int run_program(const std::vector<std::string>& words, const std::stop_token& stop) {
    std::vector<char*> arguments;
    for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_t child = 0;
    const int error = ::posix_spawn(&child, words[0].c_str(), nullptr, nullptr, arguments.data(), environ);
    if (error != 0) throw_errno(fmt::format("cannot run {}", words[0]), error);
    int status = 0;
    for (pid_t ended = 0; ended != child; ended = ::waitpid(child, &status, WNOHANG)) {
        if (ended < 0 && errno != EINTR) throw_errno(fmt::format("cannot wait for {}", words[0]));
        if (stop.stop_requested()) ::kill(child, SIGTERM);
        std::this_thread::sleep_for(program_poll_interval);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// pg_ctl appends to the file, which may have an earlier start's words.
std::uint64_t bytes_of_file(const std::string& path) {
    struct stat about{};
    return ::stat(path.c_str(), &about) == 0 ? static_cast<std::uint64_t>(about.st_size) : 0;
}

/// The server's last words behind `said_before`: its FATAL and PANIC lines, else the last lines of all.
std::string last_words(const std::string& log_file, std::uint64_t said_before) {
    auto text = read_text_file(log_file, 1 << 30);
    text.erase(0, static_cast<std::size_t>(std::min<std::uint64_t>(said_before, text.size())));
    std::vector<std::string> severe, all;
    for (std::size_t begin = 0; begin < text.size();) {
        const auto end = std::min(text.find('\n', begin), text.size());
        const auto line = text.substr(begin, end - begin);
        begin = end + 1;
        all.push_back(line);
        if (line.find("FATAL:") != std::string::npos || line.find("PANIC:") != std::string::npos) severe.push_back(line);
    }
    const auto& lines = severe.empty() ? all : severe;
    std::string words;
    for (auto index = lines.size() - std::min<std::size_t>(3, lines.size()); index < lines.size(); ++index)
        words += "\n    " + lines[index];
    return words;
}

/// What was asked for, and how much the log held before.
struct Started : RecoveryStart {
    std::uint64_t said_before;
};

[[noreturn]] void refuse(const Started& start) {
    throw Error(ErrorKind::failed,
                fmt::format("PostgreSQL did not recover {}:{}", start.pgdata, last_words(start.log_file, start.said_before)),
                fmt::format("the whole of what it said is in {}", start.log_file));
}

bool running(const RecoveryStart& start) { return ::access((start.pgdata + "/postmaster.pid").c_str(), F_OK) == 0; }

/// Port and socket folder, as the server wrote them (lines 4 and 5; src/include/utils/pidfile.h).
pg::ConnectionOptions place_of(const RecoveryStart& start) {
    const auto text = read_text_file(start.pgdata + "/postmaster.pid");
    std::vector<std::string> lines;
    for (std::size_t begin = 0; begin < text.size();) {
        const auto end = std::min(text.find('\n', begin), text.size());
        lines.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    auto options = start.connection;
    if (lines.size() > 3) options["port"] = lines[3];
    if (lines.size() > 4) options["host"] = lines[4].empty() ? "localhost" : lines[4];
    if (options["dbname"].empty()) options["dbname"] = "postgres";
    return options;
}

void pause_before_next(const RecoveryStart& start, std::stop_token stop) {
    if (stop.stop_requested())
        throw Error(ErrorKind::cancelled, fmt::format("cancelled; PostgreSQL goes on recovering {}", start.pgdata));
    std::this_thread::sleep_for(poll_interval);
}

Recovered ask(pg::Server& server, Recovered::State state) {
    Recovered result{state, {}, {}};
    const auto rows =
        server.rows("select coalesce((extract(epoch from pg_last_xact_replay_timestamp()) * 1000000)::bigint::text, ''), "
                    "coalesce(pg_last_wal_replay_lsn()::text, '')");
    const auto& row = rows.at(0);
    if (!row.at(0).empty()) result.last_end = Time(std::chrono::microseconds(std::stoll(row[0])));
    if (!row.at(1).empty()) result.replayed = pg::Lsn::parse(row[1]);
    return result;
}

/// The server itself ends here.
Recovered wait_for_shutdown(const Started& start, std::stop_token stop) {
    while (running(start)) pause_before_next(start, stop);
    const auto control = pg::read_control_file(start.pgdata);
    if (control.state != pg::ControlFile::shut_down_in_recovery) refuse(start);
    return {Recovered::State::shut_down, std::nullopt, control.min_recovery};
}

Recovered wait_for_end(const Started& start, std::stop_token stop) {
    const auto server = pg::Server::connect(place_of(start));
    for (;;) {
        if (!running(start)) refuse(start);
        const auto rows =
            server->rows("select pg_is_in_recovery()::text, case when pg_is_in_recovery() then pg_is_wal_replay_paused() "
                         "else false end::text");
        if (rows.at(0).at(0) == "false") return ask(*server, Recovered::State::promoted);
        if (rows[0].at(1) == "true") return ask(*server, Recovered::State::paused);
        pause_before_next(start, stop);
    }
}

} // namespace

Recovered start_and_recover(const RecoveryStart& wanted, std::stop_token stop) {
    const Started start{wanted, bytes_of_file(wanted.log_file)};
    // As long as it takes: a recovery is not given up by the clock. A server that is asked how far it came answers, and what it
    // says is in the one file, whatever log it has else.
    const auto code = run_program({start.programs + "/pg_ctl", "-D", start.pgdata, "-l", start.log_file, "-w", "-t", "604800",
                                   "-s", "-o", "-c hot_standby=on -c logging_collector=off -c log_destination=stderr", "start"},
                                  stop);
    // pg_ctl takes the server down with it for SIGINT, and leaves it for SIGTERM.
    if (stop.stop_requested())
        throw Error(ErrorKind::cancelled, "cancelled while PostgreSQL was starting",
                    fmt::format("whether it goes on recovering says {}/pg_ctl -D {} status", start.programs, start.pgdata));
    if (start.action == "shutdown") return wait_for_shutdown(start, stop);
    if (code != 0) refuse(start);
    try {
        return wait_for_end(start, stop);
    } catch (const Error& error) {
        // It ended meanwhile, by a FATAL of its own: that says more.
        if (error.kind() != ErrorKind::transient || running(start)) throw;
        refuse(start);
    }
}

} // namespace walgd::cli
