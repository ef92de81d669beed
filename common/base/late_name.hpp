#pragma once
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace walgd {

/// A file in `folder` that is to get its name when it is whole: killed before that, we leave nothing behind. -1 where the file
/// system makes none without a name, or nothing could give it one later. For the shims too: knows nothing but libc.
inline int open_unnamed(const std::string& folder) {
    return ::access("/proc/self/fd", X_OK) == 0 ? ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
}

/// `path` from now on, in the same file system. False, with errno, when something has that name, or the file can be given none.
inline bool give_name(int fd, const std::string& path) {
    const auto link = "/proc/self/fd/" + std::to_string(fd);
    return ::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

} // namespace walgd
