#pragma once
#include "proto/walg_frame.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace walgd::proto {

/// One blocking connection to a daemon that speaks WAL-G's protocol, for one request. No exceptions; error() and hint() say what
/// went wrong and what to do next.
class WalgClient {
public:
    using Milliseconds = std::chrono::milliseconds;

    WalgClient() = default;
    WalgClient(const WalgClient&) = delete;
    ~WalgClient();

    /// Waits only while the daemon's queue is full: for at most `limit`, or for ever where that is zero.
    bool connect(const std::string& path, Milliseconds limit);
    bool send(const WalgRequest& request);
    /// The reply, waited for at most until `limit` after `began`.
    std::optional<WalgReply> receive(std::chrono::steady_clock::time_point began, Milliseconds limit);
    const std::string& error() const { return error_; }
    const std::string& hint() const { return hint_; }

private:
    bool fail(const std::string& text, const std::string& hint = {});
    bool fail_errno(const std::string& text, const std::string& hint = {});
    bool wait(std::chrono::steady_clock::time_point began, Milliseconds limit);
    int fd_ = -1;
    std::string path_, error_, hint_;
};

} // namespace walgd::proto
