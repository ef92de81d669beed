#pragma once
#include "common/archive/wal/segment_file.hpp"
#include "common/archive/wal/wal_push.hpp"
#include "common/base/wake.hpp"

#include <future>
#include <memory>
#include <optional>
#include <string>

namespace walgd::archive {

/// Pushes one WAL file at a time beside a thread that goes on with something else. A storage outage is waited out: the file is
/// pushed again, with growing pauses, for as long as it takes.
class WalKeeper {
public:
    /// `done` is set whenever a push ended.
    WalKeeper(Archive& archive, WalPusher& pusher, std::shared_ptr<Wake> done);
    /// Cancels what is under way.
    ~WalKeeper();
    WalKeeper(const WalKeeper&) = delete;

    /// Not while busy().
    void begin(std::string name, SegmentFile file);
    bool busy() const { return push_ != nullptr; }
    /// The name of what was begun, once it is stored; nothing before. Throws what is no outage: other content, a damaged header,
    /// another system.
    std::optional<std::string> collect();
    void cancel();

private:
    struct Push;
    std::unique_ptr<Push> take();

    Archive& archive_;
    WalPusher& pusher_;
    std::shared_ptr<Wake> done_;
    std::unique_ptr<Push> push_;
};

} // namespace walgd::archive
