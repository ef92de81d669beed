#pragma once
#include "common/archive/archive.hpp"
#include "config/settings.hpp"
#include "config/setup.hpp"

#include <CLI/CLI.hpp>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace walgd::cli {

/// What a verb works with. The I/O thread runs beside; a verb runs on the main thread and may block (run_blocking).
class Context {
public:
    Context(const config::Settings& settings, asio::any_io_executor io, Log& log, bool as_walg, std::stop_token stop)
        : settings(settings), io(io), log(log), as_walg(as_walg), stop(stop) {}

    const config::Settings& settings;
    asio::any_io_executor io;
    Log& log;
    bool as_walg;         ///< called as wal-g: its messages and exit codes to the letter
    std::stop_token stop; ///< SIGINT, SIGTERM, SIGHUP
    std::string config_file{}; ///< --config, if it was given

    /// Made from the settings at the first call.
    archive::Archive& archive();

private:
    std::unique_ptr<config::ArchiveSetup> setup_;
};

/// One command word. Data goes to stdout, log lines to stderr. run() returns the exit code; an Error thrown is printed with its
/// hint by main, exit failure_code().
class Verb {
public:
    virtual ~Verb() = default;
    virtual std::string name() const = 0;
    virtual std::string help() const = 0;
    virtual void options(CLI::App& command) = 0;
    virtual int run(Context& context) = 0;
    /// The exit code of wrong usage, and of an Error.
    virtual int failure_code(bool as_walg) const {
        static_cast<void>(as_walg);
        return 1;
    }
};

// One line a verb, here and in verb.cpp.
std::unique_ptr<Verb> make_wal_push();      // wal_push.cpp
std::unique_ptr<Verb> make_wal_fetch();     // wal_fetch.cpp
std::unique_ptr<Verb> make_wal_restore();   // wal_restore.cpp
std::unique_ptr<Verb> make_wal_receive();   // wal_receive.cpp
std::unique_ptr<Verb> make_backup_push();   // backup_push.cpp
std::unique_ptr<Verb> make_backup_fetch();  // backup_fetch.cpp
std::unique_ptr<Verb> make_backup_list();   // backup_list.cpp
std::unique_ptr<Verb> make_backup_mark();   // backup_mark.cpp
std::unique_ptr<Verb> make_delete();        // delete.cpp
std::unique_ptr<Verb> make_verify();        // verify.cpp
std::unique_ptr<Verb> make_doctor();        // doctor.cpp
std::unique_ptr<Verb> make_config();        // config.cpp
std::unique_ptr<Verb> make_adopt_system();  // adopt_system.cpp
std::unique_ptr<Verb> make_daemon_status(); // status.cpp
std::unique_ptr<Verb> make_daemon();        // daemon.cpp
std::unique_ptr<Verb> make_daemon_client(); // daemon_client_verb.cpp

/// All of them, in the order of --help.
std::vector<std::unique_ptr<Verb>> all_verbs();

} // namespace walgd::cli
