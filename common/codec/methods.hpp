#pragma once
#include "common/base/error.hpp"
#include "common/codec/compression.hpp"

/// What the compression methods share; not for callers.
namespace walgd::codec {

const Compression& lz4_method();
const Compression& zstd_method();
const Compression& brotli_method();
const Compression& lzma_method();
const Compression& none_method();
const Compression& gzip_method();

/// What a stage hands on at once: large enough to make calls cheap, small enough for many stages at a time.
inline constexpr std::size_t output_bytes = 128 << 10;

/// Memory for the output of a stage.
class OutputBuffer {
public:
    explicit OutputBuffer(std::size_t size = output_bytes)
        : bytes_(std::make_unique_for_overwrite<std::byte[]>(size)), size_(size) {}
    std::byte* data() { return bytes_.get(); }
    std::size_t size() const { return size_; }
    ByteView first(std::size_t count) const { return {bytes_.get(), count}; }

private:
    std::unique_ptr<std::byte[]> bytes_;
    std::size_t size_;
};

/// For methods without levels: any level is a mistake.
void refuse_level(std::string_view method, const std::string& level);

/// Error(corrupt): the stream is not what it should be.
[[noreturn]] void refuse_stream(std::string_view method, std::string_view cause);
/// The stream ended before its end mark.
[[noreturn]] void refuse_cut(std::string_view method);
/// Bytes follow the end of the stream.
[[noreturn]] void refuse_trailing(std::string_view method);

} // namespace walgd::codec
