#pragma once
#include <string>
#include <vector>

namespace walgd::cli {

/// walg-daemon-client's work, a program of its own and a word of walg: SOCKET wal-push NAME | wal-fetch NAME DESTINATION, and its
/// options. Returns the exit code: 0 done, 74 the archive has no such file, 1 everything else. No exceptions.
int run_daemon_client(const std::vector<std::string>& words);

} // namespace walgd::cli
