#pragma once
#include "common/base/async.hpp"

#include <vector>

namespace walgd {

/// Runs all at once and waits for all. The first that fails cancels the others; it is thrown when the last has ended.
awaitable<void> run_all(std::vector<awaitable<void>> tasks);

} // namespace walgd
