#pragma once
#include "common/base/async.hpp"
#include "common/base/handles.hpp"

#include <functional>
#include <string>
#include <sys/types.h>

namespace walgd::daemon {

/// The control socket, listening: inherited from systemd (LISTEN_FDS), or bound at `path` with mode 0660. A socket that a dead
/// daemon left behind is replaced; Error(refused) when a live one answers there.
class Listener {
public:
    explicit Listener(const std::string& path);
    /// Removes the path, where it is still ours.
    ~Listener();
    Listener(const Listener&) = delete;

    int release() { return fd_.release(); }
    bool inherited() const { return inherited_; }
    /// Whether the path leads to our socket: it may have been removed, or its folder. An inherited socket is systemd's to keep.
    bool reachable() const;
    /// Binds the path anew; release() gives the new socket. Throws as the constructor does.
    void bind();

private:
    std::string path_;
    bool inherited_ = false;
    dev_t device_ = 0;
    ino_t inode_ = 0;
    UniqueFd fd_;
};

/// Binds the path anew when it no longer leads to us, as soon as that can be done, for as long as it is awaited. `rebound` takes
/// the new socket over; `tell` is called once for each trouble, and with what came of it.
awaitable<void> keep_reachable(Listener& listener, std::function<void(int)> rebound, std::function<void(std::string)> tell);

} // namespace walgd::daemon
