#include "client/walg/daemon_client.hpp"
#include "client/walg/verb.hpp"

#include <iostream>

namespace walgd::cli {

namespace {

class Reload : public Verb {
public:
    std::string name() const override { return "reload"; }
    std::string help() const override {
        return "The daemon reads its settings again, and says what is in force now and what waits for a restart";
    }
    void options(CLI::App&) override {}
    int run(Context& context) override {
        std::cout << daemon_reload(context) << "\n";
        return 0;
    }
};

} // namespace

std::unique_ptr<Verb> make_reload() { return std::make_unique<Reload>(); }

} // namespace walgd::cli
