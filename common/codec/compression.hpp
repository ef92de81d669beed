#pragma once
#include "common/codec/sink.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace walgd {
class HelperThreads;
}

namespace walgd::codec {

/// What the bytes are, for parameters tuned to them.
enum class Content { wal, pages };

/// Compresses pieces of a content on their own, for methods whose readers take one such piece after the other as one stream.
/// One at a time; not thread-safe.
class FrameCompressor {
public:
    virtual ~FrameCompressor() = default;
    /// The frame of `plain` (at most frame_bytes of it) into `into` (at least frame_bound bytes). Returns the frame's size.
    virtual std::size_t compress(ByteView plain, MutableBytes into) = 0;
};

/// Plain bytes of a frame: no more than fits a CPU's second cache is gained by larger ones.
inline constexpr std::size_t frame_bytes = 1 << 20;
/// What a frame has at most, whatever its content.
inline constexpr std::size_t frame_bound = frame_bytes + (frame_bytes >> 8) + 64;

/// One compression method of WAL-G's (walg-format.md, section 6). Stateless; lives for ever. lz4, zstd and gzip carry a checksum
/// of the content (zstd's pages in a table at the end, frame_table.hpp); brotli, lzma and none have none, so not every changed
/// byte can be seen in them.
class Compression {
public:
    virtual ~Compression() = default;
    /// As WALG_COMPRESSION_METHOD says it: "lz4", "zstd", "brotli", "lzma", "none".
    virtual std::string_view name() const = 0;
    /// Of object names, without the dot: "lz4", "zst", "br", "lzma", "".
    virtual std::string_view suffix() const = 0;
    /// True when objects of this method can be made (gzip is only read).
    virtual bool writable() const { return true; }
    /// A stage that compresses into `next`.
    virtual std::unique_ptr<Sink> compressor(Sink& next, Content content, const std::string& level) const = 0;
    /// For independent frames of frame_bytes each, which any reader of this method takes; nullptr where it has none such. The
    /// stage that compressor() gives makes the same frames. Those of pages have no checksum: a table behind them has it.
    virtual std::unique_ptr<FrameCompressor> frame_compressor(Content, const std::string& /*level*/) const { return nullptr; }
    /// A stage that decompresses into `next`. Data that is cut, changed or followed by what the format does not allow is an
    /// Error(corrupt).
    virtual std::unique_ptr<Sink> decompressor(Sink& next) const = 0;
    /// The same, by helpers too where the method has frames that are decoded on their own. `helpers` must outlive the stage.
    virtual std::unique_ptr<Sink> helped_decompressor(Sink& next, HelperThreads& /*helpers*/) const { return decompressor(next); }
    /// A whole object at once, into `into`; the bytes that came out. What does not fit, and what decompressor() would not take,
    /// is an Error(corrupt). For zstd a third quicker than a stage that has to go through a window of its own.
    virtual std::size_t decompress(ByteView object, MutableBytes into, const MayFill& may_fill = {}) const;
    /// Throws Error(misconfigured) listing the allowed values when `level` (WALG_ZSTD_LEVEL or a number; empty: the method's
    /// default) is none of this method's.
    virtual void check_level(const std::string& level) const = 0;
};

/// Of WAL-E's objects and, read only, of WAL-G's: nothing here unpacks them. They are there all the same.
inline constexpr std::string_view lzo_suffix = "lzo";

/// All methods, in the order in which readers probe for objects whose suffix is unknown.
std::span<const Compression* const> compressions();
const Compression* compression_by_name(std::string_view name);
/// By suffix without the dot; nullptr if unknown.
const Compression* compression_by_suffix(std::string_view suffix);

} // namespace walgd::codec
