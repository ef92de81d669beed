// restore_command = 'walg-fetch "%f" "%p"'. 0: the file is there. 1: the storage answered that it has none. 200: anything else,
// so that PostgreSQL stops instead of taking the end of what it got for the end of the WAL.
#include "common/base/late_name.hpp"
#include "common/base/standard_streams.hpp"
#include "proto/client.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>

namespace {

using namespace walgd;

constexpr const char* usage =
    "usage: walg-fetch [--socket PATH] NAME DESTINATION\n"
    "Fetches a WAL file through walgd, or without a daemon by `walg wal-fetch`. For restore_command = 'walg-fetch \"%f\" "
    "\"%p\"'.\n"
    "Exit code 0: there; 1: the storage says that there is none; 200: anything else, PostgreSQL stops.\n";

constexpr int unknown = 200;
/// walgd gives up after WALGD_FETCH_TIMEOUT (5 min) itself; this is for a daemon that hangs.
constexpr int answer_seconds = 3600;

/// What must not stay behind, also when PostgreSQL stops us.
char temporary[4096];

void remove_and_end(int) {
    if (temporary[0] != '\0') ::unlink(temporary);
    ::_exit(unknown);
}

int fail(const std::string& name, const std::string& message, std::string_view hint = {}) {
    if (temporary[0] != '\0') ::unlink(temporary);
    const auto line =
        "walg-fetch: " + name + (name.empty() ? "" : ": ") + message + (hint.empty() ? "" : " HINT: " + std::string(hint)) + "\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size()); // nobody to tell if it fails
    return unknown;
}

/// No daemon: a fresh host that restores has none. walg stands beside us, or in PATH.
int run_walg(const std::string& name, const std::string& destination) {
    char own[4096];
    const auto length = ::readlink("/proc/self/exe", own, sizeof own - 1);
    if (length > 0) {
        own[length] = '\0';
        if (char* slash = std::strrchr(own, '/')) {
            const auto beside = std::string(own, slash) + "/walg";
            ::execl(beside.c_str(), "walg", "wal-fetch", name.c_str(), destination.c_str(), static_cast<char*>(nullptr));
        }
    }
    ::execlp("walg", "walg", "wal-fetch", name.c_str(), destination.c_str(), static_cast<char*>(nullptr));
    return fail(name, std::string("no daemon answers, and walg cannot be run: ") + std::strerror(errno),
                "install walg beside walg-fetch");
}

} // namespace

int main(int count, char** words) {
    open_standard_streams();
    std::signal(SIGPIPE, SIG_IGN);
    std::string socket = proto::socket_path(), name, destination;
    for (int index = 1; index < count; ++index) {
        const std::string_view word = words[index];
        if (word == "--help" || word == "-h") return std::fputs(usage, stdout) < 0 ? unknown : 0;
        if (word == "--version") return std::puts("walg-fetch " WALGD_VERSION) < 0 ? unknown : 0;
        if (word == "--socket" && index + 1 < count)
            socket = words[++index];
        else if (word.substr(0, 1) == "-")
            return fail("", "unknown option " + std::string(word), "walg-fetch --help tells how it is called");
        else if (name.empty())
            name = word;
        else if (destination.empty())
            destination = word;
        else
            return fail("", "more than two arguments were given", "quote them: restore_command = 'walg-fetch \"%f\" \"%p\"'");
    }
    if (destination.empty())
        return fail(name, "a name and a destination are needed", "restore_command = 'walg-fetch \"%f\" \"%p\"'");

    proto::Client client;
    const auto connected = client.connect(socket);
    if (connected == proto::Client::Connected::nobody) return run_walg(name, destination);
    if (connected == proto::Client::Connected::failed) return fail(name, client.error());

    const auto slash = destination.rfind('/');
    const auto folder = slash == std::string::npos ? std::string(".") : destination.substr(0, slash + 1);
    const auto path = folder + (slash == std::string::npos ? "/" : "") + ".walgd." + std::to_string(::getpid());
    if (path.size() >= sizeof temporary) return fail(name, "the destination's path is too long");
    ::unlink(path.c_str()); // of one that was killed, and had our process id
    int fd = open_unnamed(folder);
    const bool unnamed = fd >= 0;
    if (!unnamed) fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return fail(name, "cannot create " + path + ": " + std::strerror(errno));
    if (!unnamed) std::memcpy(temporary, path.c_str(), path.size() + 1);
    for (const int how : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) std::signal(how, remove_and_end);

    proto::Frame answer;
    if (!client.send({proto::Type::wal_fetch, 1, {name}}, fd) ||
        !client.receive_patiently(answer, answer_seconds, "walg-fetch: " + name))
        return fail(name, client.error());
    if (answer.type == proto::Type::absent) {
        if (!unnamed) ::unlink(path.c_str());
        return 1;
    }
    if (answer.type == proto::Type::error) return fail(name, proto::Client::message_of(answer), answer.field(2));
    if (answer.type != proto::Type::ok) return fail(name, "walgd gave an answer that is none");
    // walgd has checked the content; now it gets its name. Neither is fsynced: PostgreSQL does that when it takes the file over
    // (durable_rename() in xlogarchive.c), and after a crash it removes what it had not taken over and asks again.
    if (unnamed && give_name(fd, destination)) return 0;
    if (unnamed) {                                                    // what is there already is replaced
        if (!give_name(fd, path)) return run_walg(name, destination); // a file system that makes such files, and names none
        std::memcpy(temporary, path.c_str(), path.size() + 1);
    }
    if (::close(fd) != 0 || ::rename(path.c_str(), destination.c_str()) != 0)
        return fail(name, "cannot rename it to " + destination + ": " + std::strerror(errno));
    temporary[0] = '\0';
    return 0;
}
