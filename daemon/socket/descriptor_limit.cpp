#include "daemon/socket/descriptor_limit.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <sys/resource.h>

namespace walgd::daemon {

std::size_t raised_descriptor_limit() {
    constexpr rlim_t enough = 65536;
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("cannot read the limit of open files");
    const auto wanted = std::min(limit.rlim_max, enough);
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted;
        if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) throw_errno("cannot raise the limit of open files");
    }
    return limit.rlim_cur;
}

std::size_t connections_max(std::size_t descriptors, std::size_t sockets) {
    constexpr std::size_t kept_free = 128;
    const auto room = descriptors > kept_free ? (descriptors - kept_free) / 2 / sockets : 0;
    return std::clamp<std::size_t>(room, 16, 1024);
}

} // namespace walgd::daemon
