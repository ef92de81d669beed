#pragma once
#include "common/base/rate_limit.hpp"
#include "common/storage/storage.hpp"

#include <functional>
#include <memory>

namespace walgd::storage {

/// The rate that what is put under a key, or read from it, comes out of.
using RateOf = std::function<RateLimit&(const ObjectKey&)>;

/// A put waits before it goes out, a read after it came in, so that the rates hold. Questions without a body wait for nothing.
/// `inner` and the rates must outlive the result.
std::unique_ptr<Storage> make_limited_storage(Storage& inner, RateOf rate_of);

} // namespace walgd::storage
