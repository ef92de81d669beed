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
#include <optional>
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

/// The command line's words.
struct Order {
    std::string socket = proto::socket_path(), name, destination;
    std::optional<int> code{}; ///< the exit code, where there is nothing to fetch
};

Order read_order(int count, char** words) {
    Order order;
    for (int index = 1; index < count && !order.code; ++index) {
        const std::string_view word = words[index];
        if (word == "--help" || word == "-h")
            order.code = std::fputs(usage, stdout) < 0 ? unknown : 0;
        else if (word == "--version")
            order.code = std::puts("walg-fetch " WALGD_VERSION) < 0 ? unknown : 0;
        else if (word == "--socket" && index + 1 < count)
            order.socket = words[++index];
        else if (word.substr(0, 1) == "-")
            order.code = fail("", "unknown option " + std::string(word), "walg-fetch --help tells how it is called");
        else if (order.name.empty())
            order.name = word;
        else if (order.destination.empty())
            order.destination = word;
        else
            order.code =
                fail("", "more than two arguments were given", "quote them: restore_command = 'walg-fetch \"%f\" \"%p\"'");
    }
    if (!order.code && order.destination.empty())
        order.code = fail(order.name, "a name and a destination are needed", "restore_command = 'walg-fetch \"%f\" \"%p\"'");
    return order;
}

/// The file that walgd writes into, in the destination's folder.
struct Received {
    std::string folder, path; ///< `path`: its name; where it is `unnamed`, what it gets when the destination is there already
    int fd = -1;
    bool unnamed = false;
};

Received beside(const std::string& destination) {
    Received file;
    const auto slash = destination.rfind('/');
    file.folder = slash == std::string::npos ? std::string(".") : destination.substr(0, slash + 1);
    file.path = file.folder + (slash == std::string::npos ? "/" : "") + ".walgd." + std::to_string(::getpid());
    return file;
}

/// False, with errno, where none can be made.
bool make(Received& file) {
    ::unlink(file.path.c_str()); // of one that was killed, and had our process id
    file.fd = open_unnamed(file.folder);
    file.unnamed = file.fd >= 0;
    if (!file.unnamed) file.fd = ::open(file.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file.fd < 0) return false;
    if (!file.unnamed) std::memcpy(temporary, file.path.c_str(), file.path.size() + 1);
    for (const int how : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) std::signal(how, remove_and_end);
    return true;
}

/// walgd has checked the content; now it gets its name. Neither is fsynced: PostgreSQL does that when it takes the file over
/// (durable_rename() in xlogarchive.c), and after a crash it removes what it had not taken over and asks again.
int put_in_place(const Received& file, const Order& order) {
    if (file.unnamed && give_name(file.fd, order.destination)) return 0;
    if (file.unnamed) { // what is there already is replaced
        if (!give_name(file.fd, file.path))
            return run_walg(order.name, order.destination); // a file system that makes such files, and names none
        std::memcpy(temporary, file.path.c_str(), file.path.size() + 1);
    }
    if (::close(file.fd) != 0 || ::rename(file.path.c_str(), order.destination.c_str()) != 0)
        return fail(order.name, "cannot rename it to " + order.destination + ": " + std::strerror(errno));
    temporary[0] = '\0';
    return 0;
}

int fetch(const Order& order) {
    const auto& name = order.name;
    proto::Client client;
    const auto connected = client.connect(order.socket);
    if (connected == proto::Client::Connected::nobody) return run_walg(name, order.destination);
    if (connected == proto::Client::Connected::failed) return fail(name, client.error());

    auto file = beside(order.destination);
    if (file.path.size() >= sizeof temporary) return fail(name, "the destination's path is too long");
    if (!make(file)) return fail(name, "cannot create " + file.path + ": " + std::strerror(errno));
    proto::Frame answer;
    if (!client.send({proto::Type::wal_fetch, 1, {name}}, file.fd) ||
        !client.receive_patiently(answer, answer_seconds, "walg-fetch: " + name))
        return fail(name, client.error());
    if (answer.type == proto::Type::absent) {
        if (!file.unnamed) ::unlink(file.path.c_str());
        return 1;
    }
    if (answer.type == proto::Type::error) return fail(name, proto::Client::message_of(answer), answer.field(2));
    if (answer.type != proto::Type::ok) return fail(name, "walgd gave an answer that is none");
    return put_in_place(file, order);
}

} // namespace

int main(int count, char** words) {
    open_standard_streams();
    std::signal(SIGPIPE, SIG_IGN);
    const auto order = read_order(count, words);
    return order.code ? *order.code : fetch(order);
}
