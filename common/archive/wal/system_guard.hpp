#pragma once
#include "common/archive/archive.hpp"
#include "common/pg/lsn.hpp"

#include <optional>

namespace walgd::archive {

/// Keeps another cluster's WAL out of an archive. Asks the storage once, then remembers; asks again before it refuses.
class SystemGuard {
public:
    explicit SystemGuard(Archive& archive) : archive_(archive) {}

    /// Error(refused), naming both systems and the two ways on, when the archive holds another one. The first system of an empty
    /// archive becomes its own.
    awaitable<void> check(pg::SystemIdentifier system, std::string file);

    /// Asks the storage now, so that the first check need not wait for it.
    awaitable<void> warm_up();

private:
    Archive& archive_;
    std::optional<pg::SystemIdentifier> known_;
};

} // namespace walgd::archive
