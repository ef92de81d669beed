#include "common/base/wake.hpp"

#include "common/base/error.hpp"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace walgd {

Wake::Wake() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!fd_) throw_errno("cannot make an eventfd");
}

void Wake::set() noexcept {
    const std::uint64_t one = 1;
    // Fails only when the counter is full: it is set then.
    static_cast<void>(!::write(fd_.get(), &one, sizeof one));
}

void Wake::clear() noexcept {
    std::uint64_t count = 0;
    static_cast<void>(!::read(fd_.get(), &count, sizeof count));
}

void Wake::wait(std::chrono::milliseconds limit, std::optional<int> socket) const {
    pollfd waiting[] = {{fd_.get(), POLLIN, 0}, {socket.value_or(-1), POLLIN, 0}};
    const auto milliseconds = std::clamp<std::int64_t>(limit.count(), 0, INT_MAX);
    if (::poll(waiting, 2, static_cast<int>(milliseconds)) < 0 && errno != EINTR) throw_errno("cannot poll");
}

} // namespace walgd
