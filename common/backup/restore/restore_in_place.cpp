#include "common/backup/restore/restore_in_place.hpp"

#include "common/base/error.hpp"
#include "common/base/files.hpp"
#include "common/pg/control_file.hpp"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <fmt/format.h>
#include <unistd.h>

namespace walgd::backup {

namespace {

/// As PostgreSQL looks at it: a process of that number that lives, whoever owns it, is a server.
void require_no_server(const std::string& folder) {
    const auto path = folder + "/postmaster.pid";
    if (::access(path.c_str(), F_OK) != 0) return;
    const auto text = read_text_file(path, 1 << 16);
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
    const bool readable = error == std::errc() && pid > 0;
    if (readable && ::kill(pid, 0) != 0 && errno == ESRCH) return; // left behind by a server that died
    throw Error(ErrorKind::refused,
                fmt::format("a server runs on {} (process {} of its postmaster.pid)", folder, readable ? pid : 0),
                "nothing was written; stop PostgreSQL first: pg_ctl stop");
}

} // namespace

void require_stopped_cluster(const std::string& folder, std::optional<pg::SystemIdentifier> system, bool unfinished) {
    require_no_server(folder);
    if (unfinished) return;
    if (::access((folder + "/global/pg_control").c_str(), F_OK) != 0)
        throw Error(ErrorKind::refused, fmt::format("{} holds no cluster: there is no global/pg_control", folder),
                    "nothing was written; into an empty folder goes a whole restore: walg backup-fetch");
    if (!system)
        throw Error(ErrorKind::refused, "the backup does not tell of which system it is",
                    "nothing was written; into an empty folder goes a whole restore: walg backup-fetch");
    const auto control = pg::read_control_file(folder);
    if (control.system != *system)
        throw Error(
            ErrorKind::refused,
            fmt::format("{} holds system {}, the backup is of system {}", folder, control.system.number(), system->number()),
            "nothing was written; another cluster's files cannot be brought up to it");
}

} // namespace walgd::backup
