#include "common/codec/compression.hpp"

#include "common/codec/methods.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace walgd::codec {

namespace {

const char* const damaged_hint =
    "the object is damaged, or was encrypted and the settings name no key or another one; keep it and compare "
    "it with other copies";

} // namespace

std::size_t Compression::decompress(ByteView object, MutableBytes into, const MayFill& may_fill) const {
    MemorySink end(into, may_fill);
    const auto stage = decompressor(end);
    stage->write(object);
    stage->finish();
    return end.count();
}

std::span<const Compression* const> compressions() {
    static const std::array<const Compression*, 6> all{&lz4_method(),  &zstd_method(), &brotli_method(),
                                                       &lzma_method(), &none_method(), &gzip_method()};
    return all;
}

const Compression* compression_by_name(std::string_view name) {
    const auto found = std::ranges::find(compressions(), name, &Compression::name);
    return found == compressions().end() ? nullptr : *found;
}

const Compression* compression_by_suffix(std::string_view suffix) {
    const auto found = std::ranges::find(compressions(), suffix, &Compression::suffix);
    return found == compressions().end() ? nullptr : *found;
}

void refuse_level(std::string_view method, const std::string& level) {
    if (level.empty()) return;
    throw Error(ErrorKind::misconfigured,
                fmt::format("compression method {} has no levels, but level \"{}\" is set", method, level),
                "remove WALG_ZSTD_LEVEL, or set WALG_COMPRESSION_METHOD=zstd");
}

void refuse_stream(std::string_view method, std::string_view cause) {
    throw Error(ErrorKind::corrupt, fmt::format("cannot decompress {} data: {}", method, cause), damaged_hint);
}

void refuse_cut(std::string_view method) { refuse_stream(method, "it is cut, the end of the stream is missing"); }

void refuse_trailing(std::string_view method) { refuse_stream(method, "other bytes follow the end of the stream"); }

} // namespace walgd::codec
