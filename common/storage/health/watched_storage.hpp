#pragma once
#include "common/storage/health/request_meter.hpp"
#include "common/storage/health/storage_health.hpp"
#include "common/storage/storage.hpp"

#include <chrono>
#include <memory>

namespace walgd::storage {

/// Tells `health` and `meter` how each request to `inner` ends, and `health` which one waits for longer than `patience`. Changes
/// nothing. It stands below the decorator that tries again, so that each attempt is seen. All three must outlive the result.
std::unique_ptr<Storage> make_watched_storage(Storage& inner, StorageHealth& health, RequestMeter& meter,
                                              std::chrono::milliseconds patience = std::chrono::seconds(3));

} // namespace walgd::storage
