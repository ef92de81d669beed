#pragma once
#include "common/storage/health/storage_health.hpp"
#include "common/storage/storage.hpp"

#include <chrono>
#include <memory>

namespace walgd::storage {

/// Tells `health` how each request to `inner` ends, and which one waits for longer than `patience`. Changes nothing. It stands
/// below the decorator that tries again, so that each attempt is seen. `inner` and `health` must outlive the result.
std::unique_ptr<Storage> make_watched_storage(Storage& inner, StorageHealth& health,
                                              std::chrono::milliseconds patience = std::chrono::seconds(3));

} // namespace walgd::storage
