#pragma once
#include "common/archive/archive.hpp"
#include "config/settings.hpp"
#include "config/setup.hpp"

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <optional>
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
    bool as_walg;                 ///< called as wal-g: its messages and exit codes to the letter
    std::stop_token stop;         ///< SIGINT, SIGTERM, SIGHUP
    std::string config_file{};    ///< --config, if it was given
    std::string target_storage{}; ///< --target-storage, if it was given: the one to work with alone
    /// The one WAL file that is all that this command changed.
    struct StoredWal {
        std::string wal_file;
        std::uint64_t bytes; ///< in the storage; 0: it was there already
    };
    std::optional<StoredWal> stored_wal{};

    /// Made from the settings at the first call.
    archive::Archive& archive();
    /// Of this command's archives, by verb. The other archives of a command add theirs when they go.
    std::map<std::string, std::uint64_t> requests() const;
    void add_requests(const storage::RequestMeter& meter);
    /// The names of the storages that archive() is made of; more than one where there are failover storages.
    std::vector<std::string> storage_names() const;
    /// Requests that may be under way at once where nothing but the storage is waited for.
    unsigned at_once() const { return static_cast<unsigned>(settings.number("upload_concurrency")); }

private:
    std::unique_ptr<config::ArchiveSetup> setup_;
    std::map<std::string, std::uint64_t> others_;
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
    /// False: tell() is called instead of run(), and no settings are read.
    virtual bool needs_settings() const { return true; }
    virtual int tell() { return 0; }
    /// False: WAL-G has no such word, and under its name we have none either.
    virtual bool in_walg() const { return true; }
    /// The exit code of wrong usage, and of an Error.
    virtual int failure_code(bool as_walg) const {
        static_cast<void>(as_walg);
        return 1;
    }
    /// The same of wrong usage alone, by the words behind this one.
    virtual int usage_code(const std::vector<std::string>& words, bool as_walg) const {
        static_cast<void>(words);
        return failure_code(as_walg);
    }
};

// One line a verb, here and in verb.cpp.
std::unique_ptr<Verb> make_wal_push();        // wal_push.cpp
std::unique_ptr<Verb> make_wal_fetch();       // wal_fetch.cpp
std::unique_ptr<Verb> make_wal_restore();     // wal_restore.cpp
std::unique_ptr<Verb> make_wal_receive();     // wal_receive.cpp
std::unique_ptr<Verb> make_backup_push();     // backup_push.cpp
std::unique_ptr<Verb> make_backup_fetch();    // backup_fetch.cpp
std::unique_ptr<Verb> make_backup_list();     // backup_list.cpp
std::unique_ptr<Verb> make_catchup_push();    // catchup_push.cpp
std::unique_ptr<Verb> make_catchup_fetch();   // catchup_fetch.cpp
std::unique_ptr<Verb> make_catchup_list();    // backup_list.cpp
std::unique_ptr<Verb> make_catchup_send();    // catchup_tcp.cpp
std::unique_ptr<Verb> make_catchup_receive(); // catchup_tcp.cpp
std::unique_ptr<Verb> make_wal_show();        // wal_show.cpp
std::unique_ptr<Verb> make_wal_verify();      // wal_verify.cpp
std::unique_ptr<Verb> make_backup_show();     // backup_show.cpp
std::unique_ptr<Verb> make_flags();           // help.cpp
std::unique_ptr<Verb> make_help();            // help.cpp
std::unique_ptr<Verb> make_completion();      // help.cpp
std::unique_ptr<Verb> make_copy();            // copy.cpp
std::unique_ptr<Verb> make_st();              // st.cpp
std::unique_ptr<Verb> make_pgbackrest();      // pgbackrest.cpp
std::unique_ptr<Verb> make_restore();         // restore.cpp
std::unique_ptr<Verb> make_restorable();      // restorable.cpp
std::unique_ptr<Verb> make_backup_mark();     // backup_mark.cpp
std::unique_ptr<Verb> make_delete();          // delete.cpp
std::unique_ptr<Verb> make_verify();          // verify.cpp
std::unique_ptr<Verb> make_doctor();          // doctor.cpp
std::unique_ptr<Verb> make_config();          // config.cpp
std::unique_ptr<Verb> make_adopt_system();    // adopt_system.cpp
std::unique_ptr<Verb> make_daemon_status();   // status.cpp
std::unique_ptr<Verb> make_show_schedule();   // schedule.cpp
std::unique_ptr<Verb> make_reload();          // reload.cpp
std::unique_ptr<Verb> make_init();            // init.cpp
std::unique_ptr<Verb> make_top();             // top.cpp
std::unique_ptr<Verb> make_man();             // man.cpp
std::unique_ptr<Verb> make_daemon();          // daemon.cpp
std::unique_ptr<Verb> make_daemon_client();   // daemon_client_verb.cpp

/// All of them, in the order of --help.
std::vector<std::unique_ptr<Verb>> all_verbs();

} // namespace walgd::cli
