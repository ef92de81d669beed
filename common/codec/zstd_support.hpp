#pragma once
#include "common/codec/compression.hpp"

#include <cstddef>
#include <memory>

/// Of the zstd method; not for callers.
namespace walgd::codec {

// A context that a large window made heavier than this is freed, not kept.
inline constexpr std::size_t zstd_context_bytes_kept_max = 16 << 20;
inline constexpr std::size_t zstd_contexts_kept_max = 8;

/// Throws Error(failed) where the library's result is an error.
std::size_t zstd_checked(std::size_t result, const char* action);

/// Compression::decompressor, ::helped_decompressor (with `helpers`) and ::decompress.
std::unique_ptr<Sink> zstd_decompressor(Sink& next, HelperThreads* helpers);
std::size_t zstd_decompress(ByteView object, MutableBytes into, const MayFill& may_fill);

} // namespace walgd::codec
