#include "client/walg/server_user.hpp"
#include "client/walg/verb.hpp"
#include "common/base/files.hpp"
#include "config/check.hpp"
#include "config/process.hpp"
#include "config/settings_file.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iostream>
#include <sys/stat.h>
#include <unistd.h>

namespace walgd::cli {

namespace {

/// A value as YAML takes it whatever is in it.
std::string yaml_text(std::string_view text) {
    std::string out = "\"";
    for (const char letter : text) {
        if (letter == '"' || letter == '\\') out += '\\';
        out += letter;
    }
    return out + "\"";
}

/// The next line that a person types; empty at the end of the input.
std::string ask(const std::string& question, const std::string& otherwise) {
    std::cout << question << (otherwise.empty() ? "" : fmt::format(" [{}]", otherwise)) << ": " << std::flush;
    std::string line;
    std::getline(std::cin, line);
    return line.empty() ? otherwise : line;
}

/// A key's name goes where the key is.
bool stays_where_it_is(const config::Setting& setting) { return setting.secret || setting.name == "aws_access_key_id"; }

/// Sets PostgreSQL up, and says what it needs now.
void alter_system(pg::Server& server) {
    const auto before = server.value("select setting from pg_settings where name = 'archive_command'");
    if (!before.empty() && before != "(disabled)") std::cout << fmt::format("archive_command was: {}\n", before);
    // PostgreSQL 15 would pass the command over, and later ones archive nothing with both.
    if (const auto library = server.facts().archive_library; !library.empty()) {
        std::cout << fmt::format("archive_library was: {}\n", library);
        server.rows("alter system set archive_library = ''");
    }
    // With archive_mode and minimal WAL PostgreSQL does not start.
    if (server.value("show wal_level") == "minimal") {
        std::cout << "wal_level was: minimal\n";
        server.rows("alter system set wal_level = replica");
    }
    if (server.facts().archive_mode == "off") server.rows("alter system set archive_mode = on");
    server.rows("alter system set archive_command = 'walg-push \"%p\"'");
    server.rows("select pg_reload_conf()");
    const bool on = server.value("select setting from pg_settings where name = 'archive_mode'") != "off";
    std::cout << (on ? "archive_command is set, and in force\n"
                     : "archive_mode and archive_command are set; archive_mode needs a restart of PostgreSQL: now walgd must run "
                       "first\n");
}

class Init : public Verb {
public:
    std::string name() const override { return "init"; }
    std::string help() const override { return "Ask the few questions, write a checked configuration, and set PostgreSQL up"; }
    bool in_walg() const override { return false; }
    void options(CLI::App& command) override {
        command.add_option("--storage", storage_, "s3://bucket/path, or a mounted folder");
        command.add_option("--data-directory", pgdata_, "The cluster's data directory; else asked of the server");
        command.add_option("--write", file_, "The file to write")->capture_default_str();
        command.add_flag("--alter-system", alter_, "Set archive_mode and archive_command in PostgreSQL by ALTER SYSTEM");
        command.add_flag("--force", force_, "Write over a file that is there");
        command.add_flag("--yes", yes_, "Ask nothing");
    }
    int run(Context& context) override;

private:
    std::string text(Context& context) const;
    void tell_secrets(Context& context) const;
    void tell_passed_over() const;
    void refuse_to_replace() const;
    void give_to_cluster(const std::string& path) const;
    std::string write_beside(const std::string& text) const;
    void put_in_place(const std::string& written) const;
    int check(Context& context, const std::string& written, bool server) const;

    std::string storage_, pgdata_, file_ = "/etc/walgd/walgd.yaml";
    bool alter_ = false, force_ = false, yes_ = false;
};

/// Where and how objects are stored, and how the server is reached: without it the daemon would do other than what is tried here.
bool belongs_into_file(const config::Setting& setting) {
    static constexpr std::string_view beginnings[] = {"storage_prefix", "s3_",  "aws_",       "compression_",
                                                      "zstd_level",     "pgp_", "libsodium_", "pg"};
    static constexpr std::string_view written_anyway[] = {"s3_prefix", "compression_method", "pgdata"};
    return !stays_where_it_is(setting) && std::ranges::find(written_anyway, setting.name) == std::end(written_anyway) &&
           std::ranges::any_of(beginnings, [&](std::string_view beginning) { return setting.name.starts_with(beginning); });
}

/// What was given on the command line and in the environment, as far as a file should hold it: secrets stay where they are.
std::string Init::text(Context& context) const {
    std::string text = "# Written by walg init. All settings: walg config --reference; what is in force: walg config\n";
    text += fmt::format("{}: {}\n", storage_.starts_with("s3://") ? "s3_prefix" : "file_prefix", yaml_text(storage_));
    const auto method = context.settings.given("compression_method") ? context.settings.text("compression_method") : "zstd";
    text += fmt::format("compression_method: {}\n", method);
    if (!pgdata_.empty()) text += fmt::format("pgdata: {}\n", yaml_text(pgdata_));
    for (const auto& setting : config::settings_table()) {
        if (context.settings.given(setting.name) && belongs_into_file(setting))
            text += fmt::format("{}: {}\n", setting.name, yaml_text(context.settings.text(setting.name)));
    }
    return text + "upload_disk_concurrency: 2\nupload_concurrency: 4\n";
}

/// The daemon has another environment than this command.
void Init::tell_secrets(Context& context) const {
    std::vector<std::string> kept;
    for (const auto& setting : config::settings_table()) {
        if (context.settings.given(setting.name) && stays_where_it_is(setting))
            kept.push_back(fmt::format("{} ({})", setting.name, context.settings.source(setting.name)));
    }
    if (kept.empty()) return;
    std::cout << fmt::format(
        "not written, since they are secrets: {}; give them to walgd too, by LoadCredential= in a drop-in of its "
        "unit, or in /etc/walgd/env, chmod 640\n",
        fmt::join(kept, ", "));
    if (context.settings.given("libsodium_key") || context.settings.given("pgp_key"))
        std::cout << "without its key walgd would store what comes unencrypted: name a file of the key instead, "
                     "WALG_LIBSODIUM_KEY_PATH or WALG_PGP_KEY_PATH, and run walg init --force again\n";
}

/// Who had WAL-G has its settings there. Root did not look at them.
void Init::tell_passed_over() const {
    const auto home = ::geteuid() == 0 ? server_home(pgdata_) : config::process_sources("", {}, false).home;
    const auto file = config::walg_file_in(home);
    if (!file.empty())
        std::cout << fmt::format("{} is passed over from now on, a key in it too: take over what is still to hold\n", file);
}

void Init::refuse_to_replace() const {
    if (!force_ && std::filesystem::exists(file_))
        throw Error(ErrorKind::refused, fmt::format("{} is there already", file_),
                    "--force writes over it, --write names another file");
}

/// walgd runs as the cluster's owner, and root may have made it.
void Init::give_to_cluster(const std::string& path) const {
    const auto group = server_group(pgdata_);
    if (::geteuid() == 0 && group && ::chown(path.c_str(), 0, *group) != 0)
        throw_errno(fmt::format("cannot give {} to the cluster's group", path));
}

/// Under another name, until it was tried. Returns that.
std::string Init::write_beside(const std::string& text) const {
    // The packages make it; an installation from source has it from the next boot on.
    const auto folder = std::filesystem::path(file_).parent_path().string();
    if (!folder.empty() && ::mkdir(folder.c_str(), 0750) == 0) give_to_cluster(folder);
    const auto temporary = file_ + ".new";
    UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
    if (!fd)
        throw_errno(fmt::format("cannot write {}", temporary), errno, "walg init is run by root, or --write names another file");
    write_all(fd.get(), bytes_of(text), temporary);
    give_to_cluster(temporary);
    sync_file(fd.get(), temporary);
    return temporary;
}

void Init::put_in_place(const std::string& written) const {
    if (::rename(written.c_str(), file_.c_str()) != 0) throw_errno(fmt::format("cannot write {}", file_));
    const auto folder = std::filesystem::path(file_).parent_path();
    sync_folder(folder.empty() ? "." : folder.string());
}

/// Tries what was written, and takes it away when it does not work.
int Init::check(Context& context, const std::string& written, bool server) const {
    std::exception_ptr failure;
    int code = 1;
    try {
        const ServerUser user(pgdata_);
        const auto settings = config::Settings::load(config::process_sources(written, {}, false));
        config::ArchiveSetup setup(settings, context.io, context.log);
        code = config::run_check(settings, setup.archive(), std::cout, server);
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure || code != 0) ::unlink(written.c_str());
    if (failure) std::rethrow_exception(failure);
    if (code != 0) std::cout << fmt::format("{} was not written: mend what is told above, and run walg init again\n", file_);
    return code;
}

int Init::run(Context& context) {
    refuse_to_replace();
    const bool talk = !yes_ && ::isatty(STDIN_FILENO) == 1;
    if (storage_.empty() && talk) storage_ = ask("Where is the archive to be? s3://bucket/path, or a mounted folder", "");
    if (storage_.empty())
        throw Error(ErrorKind::misconfigured, "where the archive is to be is not known",
                    "--storage s3://bucket/path, or --storage /mounted/folder");
    // The daemon stands elsewhere.
    if (storage_.find("://") == std::string::npos) storage_ = std::filesystem::absolute(storage_).string();
    std::unique_ptr<pg::Server> server;
    try {
        const ServerUser user(pgdata_);
        server = pg::Server::connect(config::connection_options(context.settings));
        if (pgdata_.empty()) pgdata_ = server->facts().data_directory;
    } catch (const Error& error) {
        std::cout << fmt::format("PostgreSQL does not answer ({}): it is left as it is\n", error.what());
    }
    if (talk) pgdata_ = ask("The cluster's data directory", pgdata_);
    const auto written = write_beside(text(context));
    if (const int code = check(context, written, server != nullptr); code != 0) return code;
    put_in_place(written);
    std::cout << fmt::format("{} is written; walgd runs as PostgreSQL's user and must be able to read it\n", file_);
    tell_secrets(context);
    tell_passed_over();
    if (server && !alter_ && talk) alter_ = ask("Set archive_mode and archive_command by ALTER SYSTEM? yes or no", "no") == "yes";
    if (server && alter_)
        alter_system(*server);
    else
        std::cout << "in postgresql.conf: archive_mode = on, archive_command = 'walg-push \"%p\"', restore_command = 'walg-fetch "
                     "\"%f\" \"%p\"'\n";
    std::cout << "next: systemctl enable --now walgd.socket walgd, then walg backup-push as PostgreSQL's user\n";
    return 0;
}

} // namespace

std::unique_ptr<Verb> make_init() { return std::make_unique<Init>(); }

} // namespace walgd::cli
