#pragma once
#include "common/archive/archive.hpp"
#include "common/codec/sink.hpp"

#include <functional>

namespace walgd::archive {

/// What `reader` still has, into `head`, on the CPU pool: to its end, then `head` is finished; or until there is `enough`, then
/// it is not.
awaitable<void> read_through(Archive& archive, storage::ObjectReader& reader, codec::Sink& head,
                             std::function<bool()> enough = {});

} // namespace walgd::archive
