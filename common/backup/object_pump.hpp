#pragma once
#include "common/archive/archive.hpp"
#include "common/codec/sink.hpp"

#include <functional>
#include <stop_token>

namespace walgd::backup {

/// Writes what `reader` still has into `sink` and finishes it; the next chunk is on its way while this one is decoded.
/// `on_stored` is told of every chunk; it throws to stop. Blocks; for a job's thread.
void pump(archive::Archive& archive, storage::ObjectReader& reader, codec::Sink& sink, const std::stop_token& stop,
          const std::function<void(std::size_t)>& on_stored);

} // namespace walgd::backup
