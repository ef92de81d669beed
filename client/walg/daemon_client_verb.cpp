#include "client/daemon_client_command.hpp"
#include "client/walg/verb.hpp"

namespace walgd::cli {

namespace {

class DaemonClient : public Verb {
public:
    std::string name() const override { return "daemon-client"; }
    std::string help() const override {
        return "Ask a daemon in WAL-G's protocol, as walg-daemon-client: SOCKET wal-push NAME | wal-fetch NAME DESTINATION";
    }
    void options(CLI::App& command) override {
        // Its options have one dash and stand behind its words: not the command line's to read.
        command.fallthrough(false);
        command.prefix_command();
        command_ = &command;
    }
    int run(Context&) override { return run_daemon_client(command_->remaining()); }

private:
    CLI::App* command_ = nullptr;
};

} // namespace

std::unique_ptr<Verb> make_daemon_client() { return std::make_unique<DaemonClient>(); }

} // namespace walgd::cli
