#pragma once
#include "common/base/log.hpp"
#include "common/storage/storage.hpp"

#include <chrono>
#include <functional>

namespace walgd::storage {

/// How often and how long a call is tried.
struct RetryPolicy {
    int attempts_max = 15; ///< S3_MAX_RETRIES
    std::chrono::milliseconds delay_min{200};
    std::chrono::milliseconds delay_max{20000};
    std::chrono::milliseconds deadline{std::chrono::minutes(10)}; ///< over all attempts of one call
};

/// How a decorator waits and rolls dice; tests pass their own.
struct RetryEnvironment {
    std::function<awaitable<void>(std::chrono::milliseconds)> sleep;
    std::function<std::chrono::steady_clock::time_point()> now;
    std::function<double()> random; ///< 0 to 1
};
/// The clock, the timer and the dice of this process.
RetryEnvironment real_retry_environment();

/// Repeats what failed as `transient`, with full-jitter backoff, inside a deadline; everything else goes through at once. A read
/// that breaks goes on from where it was with a ranged get, and refuses (corrupt) when the object changed meanwhile (etag). A put
/// with if_absent whose answer was lost, and that now finds the object there, reads it: its own bytes are `stored`, others
/// `exists`. `inner` must outlive the result.
std::unique_ptr<Storage> make_retrying_storage(Storage& inner, RetryPolicy policy, RetryEnvironment environment, Log& log);

} // namespace walgd::storage
