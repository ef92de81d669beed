#include "common/archive/chain.hpp"

namespace walgd::archive {

PackChain::PackChain(const Packing& packing, codec::Content content, codec::Sink& end) {
    if (packing.cipher != nullptr) encrypt_ = packing.cipher->encryptor(end);
    compress_ = packing.compression->compressor(encrypt_ ? *encrypt_ : end, content, packing.level);
}

UnpackChain::UnpackChain(const codec::Cipher* cipher, const codec::Compression& compression, codec::Sink& end) {
    decompress_ = compression.decompressor(end);
    if (cipher != nullptr) decrypt_ = cipher->decryptor(*decompress_);
}

} // namespace walgd::archive
