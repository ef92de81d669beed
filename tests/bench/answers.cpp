// A daemon that stores nothing and says ok at once: what is left of a push's latency is the shim.
// usage: bench_answers SOCKET [--memory]    ends with SIGTERM
// With --memory it prints, for each request, the caller's resident KiB by the page tables, at the time it waits for the answer:
// everything that a shim ever touches is touched by then. (VmHWM and ru_maxrss are no use for so small a process: the first is
// off by what each CPU has not summed up yet, the second starts with the memory of the process that forked it.)
#include "proto/frame.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

using namespace walgd;

int fail(const char* what) {
    std::perror(what);
    return 1;
}

int listening(const char* path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    ::unlink(path);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool bound = fd >= 0 && ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    return bound && ::listen(fd, 64) == 0 ? fd : -1;
}

/// "Rss:" of /proc/PID/smaps_rollup; -1 when it cannot be read.
long resident_kib(int connection) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return -1;
    std::ifstream rollup("/proc/" + std::to_string(peer.pid) + "/smaps_rollup");
    for (std::string word; rollup >> word;)
        if (word == "Rss:" && rollup >> word) return std::atol(word.c_str());
    return -1;
}

/// Answers the requests of one connection until the peer closes it. Descriptors that come along are not taken: the kernel
/// closes them.
void serve(int connection, bool memory) {
    proto::FrameReader reader;
    char bytes[4096];
    for (;;) {
        const auto count = ::recv(connection, bytes, sizeof bytes, 0);
        if (count <= 0) return;
        reader.feed({bytes, static_cast<std::size_t>(count)});
        while (const auto request = reader.next()) {
            if (memory) std::printf("%ld\n", resident_kib(connection));
            const auto answer = proto::encoded({proto::Type::ok, request->request, {"stored"}});
            if (::send(connection, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return;
        }
    }
}

} // namespace

int main(int count, char** words) {
    const bool memory = count == 3 && std::strcmp(words[2], "--memory") == 0;
    if (count < 2 || (count > 2 && !memory)) {
        std::fputs("usage: bench_answers SOCKET [--memory]\n", stderr);
        return 1;
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    const int listener = listening(words[1]);
    if (listener < 0) return fail(words[1]);
    for (;;) {
        const int connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (connection < 0) return fail("accept");
        serve(connection, memory);
        ::close(connection);
    }
}
