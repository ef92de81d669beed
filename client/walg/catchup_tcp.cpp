#include "client/walg/verb.hpp"

#include <fmt/format.h>

namespace walgd::cli {

namespace {

/// WAL-G's catchup-send and catchup-receive: whoever reaches the port reads or writes the cluster. Known, and not done.
class CatchupTcp : public Verb {
public:
    explicit CatchupTcp(std::string word) : word_(std::move(word)) {}
    std::string name() const override { return word_; }
    std::string help() const override { return "Refused: catchup-push and catchup-fetch go through the storage instead"; }

    void options(CLI::App& command) override {
        command.add_option("words", words_, "The data directory, and WAL-G's address or port");
    }

    int run(Context&) override {
        throw Error(
            ErrorKind::refused,
            fmt::format("{} would move the cluster over a bare TCP connection, with neither password nor encryption, and is "
                        "not done: use catchup-push PGDATA --from-lsn LSN on the primary, then catchup-fetch PGDATA LATEST "
                        "on the standby",
                        word_),
            "LSN: the stopped standby's \"Latest checkpoint's REDO location\" (pg_controldata)");
    }

private:
    std::string word_;
    std::vector<std::string> words_;
};

} // namespace

std::unique_ptr<Verb> make_catchup_send() { return std::make_unique<CatchupTcp>("catchup-send"); }
std::unique_ptr<Verb> make_catchup_receive() { return std::make_unique<CatchupTcp>("catchup-receive"); }

} // namespace walgd::cli
