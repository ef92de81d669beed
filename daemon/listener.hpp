#pragma once
#include "common/base/handles.hpp"

#include <string>

namespace walgd::daemon {

/// The control socket, listening: inherited from systemd (LISTEN_FDS), or bound at `path` with mode 0660. A socket that a dead
/// daemon left behind is replaced; Error(refused) when a live one answers there.
class Listener {
public:
    explicit Listener(const std::string& path);
    /// Removes the path, unless the socket was inherited.
    ~Listener();
    Listener(const Listener&) = delete;

    int release() { return fd_.release(); }

private:
    std::string path_;
    bool inherited_ = false;
    UniqueFd fd_;
};

} // namespace walgd::daemon
