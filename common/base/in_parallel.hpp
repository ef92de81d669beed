#pragma once
#include <atomic>
#include <cstddef>
#include <functional>

namespace walgd {

/// Calls `work` for each index below `count`, on up to `at_once` threads of its own, fewer where they cannot be had, or on the
/// caller's where none can. When one is begun, those below it are taken already, and are done whatever happens. The first
/// exception ends it: no other index is taken, `failed` tells those under way that going on is in vain, and when they have ended
/// it is thrown.
using ParallelWork = std::function<void(std::size_t index, const std::atomic<bool>& failed)>;
void in_parallel(std::size_t count, unsigned at_once, const ParallelWork& work);

} // namespace walgd
