#include "client/walg/daemon_client.hpp"
#include "client/walg/verb.hpp"

#include <iostream>

namespace walgd::cli {

namespace {

class DaemonStatus : public Verb {
public:
    std::string name() const override { return "status"; }
    std::string help() const override { return "What the daemon is doing"; }
    void options(CLI::App& command) override { command.add_flag("--json", json_, "As JSON"); }
    int run(Context& context) override {
        auto text = daemon_status(context, json_);
        if (!text.ends_with('\n')) text += '\n';
        std::cout << text;
        return 0;
    }

private:
    bool json_ = false;
};

} // namespace

std::unique_ptr<Verb> make_daemon_status() { return std::make_unique<DaemonStatus>(); }

} // namespace walgd::cli
