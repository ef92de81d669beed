#include "common/base/error.hpp"
#include "common/codec/cipher.hpp"

#include <cstdlib>

/// The input is decrypted as it is, and encrypted and decrypted again, which must give it back.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd;
    static const auto cipher = codec::make_libsodium_cipher("TEST_LIBSODIUM_KEY_______", codec::KeyTransform::none, "fuzz");
    const auto input = std::as_bytes(std::span(data, size));
    try {
        codec::BlobSink blob;
        const auto stage = cipher->decryptor(blob);
        stage->write(input.first(size / 3));
        stage->write(input.subspan(size / 3));
        stage->finish();
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::corrupt) std::abort();
    }
    codec::BlobSink blob;
    const auto decrypt = cipher->decryptor(blob);
    const auto encrypt = cipher->encryptor(*decrypt);
    encrypt->write(input.first(size / 2));
    encrypt->write(input.subspan(size / 2));
    encrypt->finish();
    if (text_of(blob.take().view()) != text_of(input)) std::abort();
    return 0;
}
