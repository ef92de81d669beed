#pragma once
#include "common/archive/archive.hpp"

#include <memory>

namespace walgd::archive {

/// compress, then encrypt, into `end`. What is written to head() comes out of `end` as an object's content.
class PackChain {
public:
    PackChain(const Packing& packing, codec::Content content, codec::Sink& end);
    codec::Sink& head() { return *compress_; }

private:
    std::unique_ptr<codec::Sink> encrypt_, compress_;
};

/// decrypt, then decompress, into `end`; by helpers too, if there are any.
class UnpackChain {
public:
    UnpackChain(const codec::Cipher* cipher, const codec::Compression& compression, codec::Sink& end,
                HelperThreads* helpers = nullptr);
    codec::Sink& head() { return *decrypt_; }

private:
    std::unique_ptr<codec::Sink> decompress_, decrypt_;
};

} // namespace walgd::archive
