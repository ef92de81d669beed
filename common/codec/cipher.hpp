#pragma once
#include "common/codec/sink.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace walgd::codec {

/// One way to encrypt with one key, byte-compatible with WAL-G (walg-format.md, section 7). Thread-safe: stages are made from any
/// thread.
class Cipher {
public:
    virtual ~Cipher() = default;
    /// "libsodium" or "openpgp".
    virtual std::string_view name() const = 0;
    /// False for an OpenPGP public key: objects can be written, not read.
    virtual bool can_decrypt() const = 0;
    /// Whether an object that begins so was encrypted to the keys that this one encrypts to, and to no others; nothing where only
    /// decrypting it tells.
    virtual std::optional<bool> same_keys(ByteView /*begin*/) const { return std::nullopt; }
    virtual std::unique_ptr<Sink> encryptor(Sink& next) const = 0;
    /// Data that is cut, changed, repeated or of another key is an Error(corrupt), found at finish() at the latest; bytes already
    /// passed on must not be used then.
    virtual std::unique_ptr<Sink> decryptor(Sink& next) const = 0;
};

/// WALG_LIBSODIUM_KEY_TRANSFORM: how the key is written.
enum class KeyTransform { none, hex, base64 };

/// `key_text` as it stands in WALG_LIBSODIUM_KEY; the text of a key file is trimmed by the caller. Error(misconfigured) names
/// `source` ("WALG_LIBSODIUM_KEY_PATH=/x"), never the key.
std::unique_ptr<Cipher> make_libsodium_cipher(std::string_view key_text, KeyTransform transform, const std::string& source);

/// `armored_key`: public or private keys, one or more entities. Fails here, not at the first object, when the passphrase is
/// wrong.
std::unique_ptr<Cipher> make_openpgp_cipher(std::string_view armored_key, const std::string& passphrase,
                                            const std::string& source);

} // namespace walgd::codec
