#include "client/walg/daemon_client.hpp"
#include "client/walg/verb.hpp"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <unistd.h>

namespace walgd::cli {

namespace {

namespace fs = std::filesystem;

/// Our own socket. Where nobody named it, its usual folder may not be there, as on a host that was made for WAL-G, or another
/// cluster's daemon be at it: WAL-G's have but one socket each.
std::string own_socket(const Context& context, const std::string& walg_socket) {
    const auto usual = context.settings.text("socket");
    if (context.settings.given("socket")) return usual;
    const bool can_be_made = ::access(fs::path(usual).parent_path().c_str(), W_OK | X_OK) == 0;
    return can_be_made && !daemon_listens(context) ? usual : walg_socket + ".walgd";
}

class Daemon : public Verb {
public:
    std::string name() const override { return "daemon"; }
    std::string help() const override { return "Run walgd in the foreground, with WAL-G's protocol at this socket"; }
    void options(CLI::App& command) override {
        command.add_option("daemon_socket_path", socket_, "Where walg-daemon-client and the walg_archive module connect")
            ->required();
    }

    int run(Context& context) override {
        // walgd takes its settings from where we had them; those of our command line by the environment.
        for (const auto& setting : config::settings_table()) {
            if (context.settings.source(setting.name) == "command line")
                ::setenv(std::string(setting.walg_name).c_str(), context.settings.text(setting.name).c_str(), 1);
        }
        ::setenv("WALGD_WALG_SOCKET", socket_.c_str(), 1);
        const auto own = own_socket(context, socket_);
        ::setenv("WALGD_SOCKET", own.c_str(), 1);
        // WAL-G's daemon ends at the first signal; who starts it as that does not wait for PostgreSQL to end.
        if (context.as_walg && !context.settings.given("drain_timeout")) ::setenv("WALGD_DRAIN_TIMEOUT", "2s", 1);
        context.log.info("Starting walgd, whose own socket is {}", own);
        execute(context);
        throw_errno("cannot run walgd", errno, "install walgd beside walg, or in PATH");
    }

private:
    /// Returns only when there is no walgd.
    static void execute(const Context& context) {
        std::vector<const char*> words{"walgd"};
        if (context.as_walg) words.push_back("--as-wal-g");
        if (!context.config_file.empty()) words.insert(words.end(), {"--config", context.config_file.c_str()});
        words.push_back(nullptr);
        std::error_code unknown;
        const auto beside = fs::read_symlink("/proc/self/exe", unknown).parent_path() / "walgd";
        ::execv(beside.c_str(), const_cast<char* const*>(words.data()));
        ::execvp("walgd", const_cast<char* const*>(words.data()));
    }

    std::string socket_;
};

} // namespace

std::unique_ptr<Verb> make_daemon() { return std::make_unique<Daemon>(); }

} // namespace walgd::cli
