#pragma once
#include "common/base/clock.hpp"

#include <optional>
#include <string>

namespace walgd::daemon {

/// compression_level: auto. Chooses zstd's effort by how many WAL files wait: fast when behind, dense when idle for long. Decides
/// only.
class LevelControl {
public:
    /// Told before each file is packed. True when the level is another one now.
    bool consider(std::size_t waiting, Clock::time_point now);
    /// As in archive::Packing: "" are the parameters tuned for WAL.
    const std::string& level() const;

private:
    enum class Effort { fast, tuned, dense };
    Effort effort_ = Effort::tuned;
    std::optional<Clock::time_point> idle_since_;
};

} // namespace walgd::daemon
