#pragma once
#include "common/base/async.hpp"
#include "common/base/handles.hpp"

#include <functional>
#include <string>
#include <sys/types.h>

namespace walgd::daemon {

/// The sockets that systemd listens on for us (LISTEN_FDS), told apart by FileDescriptorName=: "walg" is WAL-G's protocol, every
/// other name ours. Empty where it passed none.
struct SystemdSockets {
    UniqueFd walgd, walg;
    /// Once in a process. Error(misconfigured) for two of one kind.
    static SystemdSockets take();
};

/// Where a socket is to be, and the setting that says so.
struct SocketPlace {
    std::string path, setting;
};

/// A listening socket: inherited from systemd, or bound at its place with mode 0660. A socket that a dead daemon left behind is
/// replaced; Error(refused) when a live one answers there, or something that is no socket has the name.
class Listener {
public:
    explicit Listener(SocketPlace place, UniqueFd inherited = {});
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
    SocketPlace place_;
    bool inherited_;
    dev_t device_ = 0;
    ino_t inode_ = 0;
    UniqueFd fd_;
};

/// Binds the path anew when it no longer leads to us, as soon as that can be done, for as long as it is awaited. `rebound` takes
/// the new socket over; `tell` is called once for each trouble, and with what came of it.
awaitable<void> keep_reachable(Listener& listener, std::function<void(int)> rebound, std::function<void(std::string)> tell);
/// The same as one of `tasks`, for the server that serves it; not of an inherited socket.
template <class ServerType> void keep_reachable(TaskGroup& tasks, Listener& listener, ServerType& server) {
    if (listener.inherited()) return;
    tasks.spawn(keep_reachable(
        listener, [&server](int fd) { server.listen(fd); }, [&server](std::string text) { server.note_error(std::move(text)); }));
}

} // namespace walgd::daemon
