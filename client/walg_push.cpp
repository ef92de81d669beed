// archive_command = 'walg-push "%p"'. Exits with 0 when the file is stored, with 1 in every other case: PostgreSQL takes higher
// codes for a crash.
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
    "usage: walg-push [--socket PATH] FILE\n"
    "Hands a WAL file to walgd and waits until it is stored. For archive_command = 'walg-push \"%p\"'.\n"
    "The socket is WALGD_SOCKET, or /run/walgd/walgd.sock. Exit code 0: stored; 1: not stored.\n";

/// walgd answers after WALG_DAEMON_WAL_UPLOAD_TIMEOUT (60 s) at the latest; this is for a daemon that hangs.
constexpr int answer_seconds = 900;

/// One line for PostgreSQL's log.
int fail(const std::string& file, const std::string& message, std::string_view hint = {}) {
    const auto line =
        "walg-push: " + file + (file.empty() ? "" : ": ") + message + (hint.empty() ? "" : " HINT: " + std::string(hint)) + "\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size()); // nobody to tell if it fails
    return 1;
}

} // namespace

int main(int count, char** words) {
    open_standard_streams();
    std::signal(SIGPIPE, SIG_IGN);
    std::string socket = proto::socket_path(), file;
    for (int index = 1; index < count; ++index) {
        const std::string_view word = words[index];
        if (word == "--help" || word == "-h") return std::fputs(usage, stdout) < 0 ? 1 : 0;
        if (word == "--version") return std::puts("walg-push " WALGD_VERSION) < 0 ? 1 : 0;
        if (word == "--socket" && index + 1 < count)
            socket = words[++index];
        else if (word.substr(0, 1) == "-")
            return fail("", "unknown option " + std::string(word), "walg-push --help tells how it is called");
        else if (file.empty())
            file = word;
        else
            return fail("", "more than one file was given", "quote the path: archive_command = 'walg-push \"%p\"'");
    }
    if (file.empty()) return fail("", "no file was given", "archive_command = 'walg-push \"%p\"'");
    const auto slash = file.rfind('/');
    const auto name = slash == std::string::npos ? file : file.substr(slash + 1);

    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(file, std::string("cannot open it: ") + std::strerror(errno),
                    "PostgreSQL calls it in its data directory with %p");
    proto::Client client;
    const auto connected = client.connect(socket);
    if (connected != proto::Client::Connected::yes)
        return fail(name, client.error(),
                    std::string(connected == proto::Client::Connected::nobody ? "is walgd running?"
                                                                              : "may this user write to that socket?") +
                        " Nothing is lost: PostgreSQL keeps the file and tries again");
    proto::Frame answer;
    if (!client.send({proto::Type::wal_push, 1, {name}}, fd) ||
        !client.receive_patiently(answer, answer_seconds, "walg-push: " + name))
        return fail(name, client.error());
    if (answer.type == proto::Type::ok) return 0;
    if (answer.type == proto::Type::error) return fail(name, proto::Client::message_of(answer), answer.field(2));
    return fail(name, "walgd gave an answer that is none");
}
