// WAL-G's client of its daemon, for those whose archive_command and restore_command name it: its words and exit codes, on the
// socket where walgd speaks WAL-G's protocol.
#include "client/daemon_client_command.hpp"
#include "common/base/standard_streams.hpp"

#include <csignal>

int main(int count, char** words) {
    walgd::open_standard_streams();
    std::signal(SIGPIPE, SIG_IGN);
    return walgd::cli::run_daemon_client({words + 1, words + count});
}
