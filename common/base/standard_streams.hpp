#pragma once
#include <fcntl.h>
#include <unistd.h>

namespace walgd {

/// First of all in main(): who was started with stdin, stdout or stderr closed would give that number to the next file or socket,
/// and what is meant for a person would be written into it. For the shims too: knows nothing but libc.
inline void open_standard_streams() {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        if (::fcntl(fd, F_GETFD) != -1) continue;
        if (::open("/dev/null", O_RDWR) != fd) return; // the lowest free number is ours, if there is a /dev/null
    }
}

} // namespace walgd
