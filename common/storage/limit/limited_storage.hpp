#pragma once
#include "common/base/rate_limit.hpp"
#include "common/storage/storage.hpp"

#include <memory>

namespace walgd::storage {

/// What is put and read takes its bytes out of `rate`: a put waits before it goes out, a read after it came in. Questions without
/// a body wait for nothing. Both must outlive the result.
std::unique_ptr<Storage> make_limited_storage(Storage& inner, RateLimit& rate);

} // namespace walgd::storage
