#include "common/codec/cipher.hpp"
#include "common/codec/compression.hpp"
#include "tests/unit/codec_support.hpp"

#include <sodium.h>

using namespace walgd;
using namespace walgd::codec;
using namespace walgd::codec::test;

namespace {

const std::string text_key = "TEST_LIBSODIUM_KEY_______";
const std::string hex_key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const std::string base64_key = "ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM=";
constexpr std::size_t chunk = 8192, sealed = chunk + 17, header = 24;

std::unique_ptr<Cipher> cipher(std::string_view key = text_key, KeyTransform transform = KeyTransform::none) {
    return make_libsodium_cipher(key, transform, "WALG_LIBSODIUM_KEY");
}

MakeStage encryptor(const Cipher& with) {
    return [&with](Sink& next) { return with.encryptor(next); };
}

MakeStage decryptor(const Cipher& with) {
    return [&with](Sink& next) { return with.decryptor(next); };
}

/// A stream of the chunks and tags given, for what our writer never writes.
std::string raw_stream(const std::vector<std::pair<std::size_t, unsigned char>>& chunks) {
    std::array<unsigned char, 32> key{};
    std::ranges::copy(text_key, key.begin());
    crypto_secretstream_xchacha20poly1305_state state;
    std::string stream(header, '\0');
    crypto_secretstream_xchacha20poly1305_init_push(&state, reinterpret_cast<unsigned char*>(stream.data()), key.data());
    for (const auto& [size, tag] : chunks) {
        const std::string plain(size, 'p');
        std::string out(size + 17, '\0');
        crypto_secretstream_xchacha20poly1305_push(&state, reinterpret_cast<unsigned char*>(out.data()), nullptr,
                                                   reinterpret_cast<const unsigned char*>(plain.data()), size, nullptr, 0, tag);
        stream += out;
    }
    return stream;
}

std::string refusal(std::string_view key, KeyTransform transform) {
    try {
        cipher(key, transform);
    } catch (const Error& error) {
        CHECK(error.kind() == ErrorKind::misconfigured);
        return error.what();
    }
    return "accepted";
}

} // namespace

TEST_CASE("what libsodium encrypts comes back, for any size and any cut", "[codec]") {
    const auto with = cipher();
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, chunk - 1, chunk, chunk + 1, 2 * chunk, 40 * chunk, 40 * chunk + 5}) {
        INFO(size);
        const auto text = sample(size);
        const auto object = through(encryptor(*with), text);
        CHECK(object.size() == header + size / chunk * sealed + size % chunk + 17);
        CHECK(through(decryptor(*with), object) == text);
    }
    const auto text = sample(100000);
    for (unsigned seed = 0; seed < 40; ++seed) {
        INFO("seed " << seed);
        CHECK(through_random_cuts(decryptor(*with), through_random_cuts(encryptor(*with), text, seed), seed + 500) == text);
    }
}

TEST_CASE("WAL-G's libsodium vector and objects decrypt", "[codec]") {
    const auto with = cipher();
    const auto vector = hex("059ba78af91ec4e66774d0b1da96091447f31e39139974eee56ef17663de39d68d974681b6169ba55f7dfca0dee3");
    CHECK(through(decryptor(*with), vector) == "hello");

    struct Variant {
        std::string archive, expected, key, method;
        KeyTransform transform;
    };
    for (const auto& variant :
         {Variant{"archive", "wal", hex_key, "zstd", KeyTransform::hex},
          Variant{"archive-base64", "wal-base64", base64_key, "lz4", KeyTransform::base64},
          Variant{"archive-none", "wal-none", text_key, "lz4", KeyTransform::none},
          Variant{"archive-none-uncompressed", "wal-none-uncompressed", text_key, "none", KeyTransform::none}}) {
        const auto key = cipher(variant.key, variant.transform);
        const auto* method = compression_by_name(variant.method);
        const auto contents = golden_contents("libsodium/expected/" + variant.expected + ".sha256");
        REQUIRE_FALSE(contents.empty());
        for (const auto& content : contents) {
            const auto path = "libsodium/" + variant.archive + "/wal_005/" + content.name +
                              (method->suffix().empty() ? "" : "." + std::string(method->suffix()));
            INFO(path);
            const auto decompress = [method](Sink& next) { return method->decompressor(next); };
            CHECK(sha256_hex(through(decryptor(*key), decompress, golden(path))) == content.sha256);
        }
    }
}

TEST_CASE("a libsodium key follows the transform's rules, and errors name the setting but not the key", "[codec]") {
    const std::string long_text = "0123456789012345678901234567890123456789";
    const auto cut = cipher(long_text.substr(0, 32)), whole = cipher(long_text);
    CHECK(through(decryptor(*cut), through(encryptor(*whole), "x")) == "x");
    CHECK(refusal(text_key.substr(1), KeyTransform::none).find("24 bytes") != std::string::npos);
    CHECK(refusal(hex_key, KeyTransform::hex) == "accepted");
    CHECK(refusal("ABCDEF" + hex_key.substr(6), KeyTransform::hex) == "accepted");
    for (const auto& bad : {std::string(), hex_key.substr(2), hex_key + "00", "zz" + hex_key.substr(2), hex_key.substr(1),
                            hex_key + hex_key + hex_key, hex_key + " "}) {
        const auto message = refusal(bad, KeyTransform::hex);
        CHECK(message.find("WALG_LIBSODIUM_KEY") != std::string::npos);
        CHECK((bad.empty() || message.find(bad) == std::string::npos));
    }
    for (const auto& bad : {std::string(), base64_key.substr(0, 43), base64_key.substr(4), base64_key + "x",
                            base64_key + base64_key, std::string("!") + base64_key.substr(1)})
        CHECK(refusal(bad, KeyTransform::base64).find("WALG_LIBSODIUM_KEY") != std::string::npos);
    // Two bits of the last digit are of no byte, and WAL-G's reader does not look at them.
    const auto strict = cipher(base64_key, KeyTransform::base64);
    for (const auto* last : {"N=", "O=", "P=", "P=\r\n"}) {
        const auto loose = cipher(base64_key.substr(0, 42) + last, KeyTransform::base64);
        CHECK(through(decryptor(*strict), through(encryptor(*loose), "x")) == "x");
    }
}

TEST_CASE("a cut, changed or lengthened libsodium object is corrupt", "[codec]") {
    const auto with = cipher();
    const auto text = sample(3 * chunk + 100);
    const auto object = through(encryptor(*with), text);
    for (std::size_t size = 0; size < object.size(); size += size < 60 ? 1 : 509) {
        INFO("cut to " << size);
        CHECK(is_corrupt(outcome(decryptor(*with), object.substr(0, size), text)));
    }
    for (const auto boundary : {header, header + sealed, header + 2 * sealed, header + 3 * sealed, header + 3 * sealed + 16})
        CHECK(is_corrupt(outcome(decryptor(*with), object.substr(0, boundary), text)));
    for (std::size_t at = 0; at < object.size(); at += at < 60 ? 1 : 251) {
        auto changed = object;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        INFO("changed at " << at);
        CHECK(is_corrupt(outcome(decryptor(*with), changed, text)));
    }
    const auto repeated = object.substr(0, header + sealed) + object.substr(header);
    CHECK(is_corrupt(outcome(decryptor(*with), repeated, text)));
    for (const auto& more : {std::string("x"), object, std::string(sealed, '\0')})
        CHECK(is_corrupt(outcome(decryptor(*with), object + more, text)));
}

TEST_CASE("libsodium streams with chunks and marks in odd places are corrupt", "[codec]") {
    const auto with = cipher();
    const auto read = [&](const auto& chunks) {
        return outcome(decryptor(*with), raw_stream(chunks), std::string(chunks[0].first, 'p'));
    };
    using Chunks = std::vector<std::pair<std::size_t, unsigned char>>;
    CHECK(read(Chunks{{10, 3}}) == "ok");
    CHECK(read(Chunks{{chunk, 3}}).find("full chunk") != std::string::npos);
    CHECK(read(Chunks{{10, 0}}).find("short chunk") != std::string::npos);
    CHECK(is_corrupt(read(Chunks{{chunk, 0}})));
    CHECK(is_corrupt(read(Chunks{{10, 0}, {10, 3}})));
    CHECK(is_corrupt(read(Chunks{{10, 3}, {10, 3}})));
    CHECK(is_corrupt(read(Chunks{{chunk, 1}, {0, 3}})));
}

TEST_CASE("another libsodium key, or no encryption at all, is corrupt", "[codec]") {
    const auto with = cipher(), other = cipher(hex_key, KeyTransform::hex);
    const auto text = sample(50000);
    const auto result = outcome(decryptor(*other), through(encryptor(*with), text), text);
    CHECK(result.find("another key") != std::string::npos);
    CHECK(is_corrupt(outcome(decryptor(*with), text, text)));
}
