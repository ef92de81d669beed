#include "common/base/error.hpp"
#include "common/codec/compression.hpp"

#include <algorithm>
#include <cstdlib>

namespace {

/// Looks at what it is given, keeps nothing, and stops what grows without end.
class Swallow : public walgd::codec::Sink {
public:
    void write(walgd::ByteView bytes) override {
        total_ += bytes.size();
        if (total_ > 64 << 20) throw walgd::Error(walgd::ErrorKind::cancelled, "enough");
    }
    void finish() override {}
    std::size_t total() const { return total_; }

private:
    std::size_t total_ = 0;
};

} // namespace

/// First byte: the method, and how the rest is cut.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const auto methods = walgd::codec::compressions();
    const auto* method = methods[data[0] % methods.size()];
    const std::size_t piece = data[0] < 128 ? 1 << 20 : 3;
    auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
    try {
        Swallow swallow;
        const auto stage = method->decompressor(swallow);
        for (; !bytes.empty(); bytes = bytes.subspan(std::min(piece, bytes.size())))
            stage->write(bytes.first(std::min(piece, bytes.size())));
        stage->finish();
        // At once it has to give as much.
        const auto whole = std::as_bytes(std::span(data, size)).subspan(1);
        walgd::Blob into(swallow.total() + 1);
        if (method->decompress(whole, into.room()) != swallow.total()) std::abort();
    } catch (const walgd::Error& error) {
        // A hostile window or dictionary may be more than the machine has; everything else is damage.
        if (error.kind() == walgd::ErrorKind::misconfigured) std::abort();
    }
    return 0;
}
