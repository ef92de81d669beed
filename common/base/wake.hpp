#pragma once
#include "common/base/handles.hpp"

#include <chrono>
#include <optional>

namespace walgd {

/// Wakes a thread that waits in poll(), from any thread: an eventfd. Set stays set until clear().
class Wake {
public:
    Wake();
    Wake(const Wake&) = delete;

    void set() noexcept;
    void clear() noexcept;
    /// Returns when set, or, with `socket`, when it can be read (POLLIN, or an error that a read will tell), or after `limit`.
    void wait(std::chrono::milliseconds limit, std::optional<int> socket = {}) const;

private:
    UniqueFd fd_;
};

} // namespace walgd
