#include "common/archive/wal/wal_receive.hpp"
#include "client/walg/verb.hpp"

namespace walgd::cli {

namespace {

class WalReceive : public Verb {
public:
    std::string name() const override { return "wal-receive"; }
    std::string help() const override {
        return "Receive WAL from a server as it is written, through a replication slot, and store it; until it is stopped";
    }

    void options(CLI::App& command) override {
        command.add_flag("--accept-gap", accept_gap_,
                         "Begin with the oldest WAL that the server keeps for the slot, even if WAL between it and the archive's "
                         "newest is missing (no older base backup can be recovered past that: take a new one)");
        command.footer(
            "The server is PGHOST, PGPORT, PGUSER ...; the user needs the REPLICATION attribute and a line for the database "
            "`replication` in\npg_hba.conf. The slot is WALG_SLOTNAME (walg); it is made when it is not there, and keeps "
            "WAL on the server until it is stored.\nEnds with 0 on SIGINT or SIGTERM; waits for a server or a storage "
            "that is away; ends with 1 when waiting cannot help.");
    }

    int run(Context& context) override {
        archive::WalReceiveOptions options;
        options.connection = config::connection_options(context.settings);
        options.slot = context.settings.text("slotname");
        options.accept_gap = accept_gap_;
        archive::wal_receive(context.archive(), options, context.stop);
        context.log.info("stopped receiving; what is not stored stays on the server, kept by the slot {}", options.slot);
        return 0;
    }

private:
    bool accept_gap_ = false;
};

} // namespace

std::unique_ptr<Verb> make_wal_receive() { return std::make_unique<WalReceive>(); }

} // namespace walgd::cli
