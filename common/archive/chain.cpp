#include "common/archive/chain.hpp"

#include "common/base/error.hpp"
#include "common/codec/openpgp_packets.hpp"

#include <algorithm>
#include <array>

namespace walgd::archive {

namespace {

/// Stands in the cipher's place where no key is set: what cannot be unpacked because it is encrypted is told to be so.
class Keyless : public codec::Sink {
public:
    explicit Keyless(codec::Sink& next) : next_(next) {}
    void write(ByteView bytes) override {
        const auto count = std::min(begin_.size() - used_, bytes.size());
        std::copy_n(bytes.begin(), count, begin_.begin() + static_cast<std::ptrdiff_t>(used_));
        used_ += count;
        pass([&] { next_.write(bytes); });
    }
    void finish() override {
        pass([this] { next_.finish(); });
    }

private:
    template <class Call> void pass(Call call) {
        try {
            call();
        } catch (const Error& error) {
            if (error.kind() != ErrorKind::corrupt || !codec::looks_encrypted({begin_.data(), used_})) throw;
            throw Error(ErrorKind::misconfigured, "it is encrypted with OpenPGP, and no key is set",
                        "set WALG_PGP_KEY_PATH (or WALG_PGP_KEY) to the private key that it was encrypted for");
        }
    }

    codec::Sink& next_;
    std::array<std::byte, 4> begin_{};
    std::size_t used_ = 0;
};

} // namespace

PackChain::PackChain(const Packing& packing, codec::Content content, codec::Sink& end) {
    if (packing.cipher != nullptr) encrypt_ = packing.cipher->encryptor(end);
    compress_ = packing.compression->compressor(encrypt_ ? *encrypt_ : end, content, packing.level);
}

UnpackChain::UnpackChain(const codec::Cipher* cipher, const codec::Compression& compression, codec::Sink& end,
                         HelperThreads* helpers) {
    decompress_ = helpers != nullptr ? compression.helped_decompressor(end, *helpers) : compression.decompressor(end);
    if (cipher != nullptr)
        decrypt_ = cipher->decryptor(*decompress_);
    else
        decrypt_ = std::make_unique<Keyless>(*decompress_);
}

} // namespace walgd::archive
