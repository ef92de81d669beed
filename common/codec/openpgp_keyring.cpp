#include "common/codec/openpgp_keyring.hpp"

#include "common/base/bytes.hpp"
#include "common/base/error.hpp"
#include "common/base/wipe.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <utility>

namespace walgd::codec {

namespace {

constexpr std::size_t idle_max = 16;
const char* const key_hint = "it must be an armored key, as gpg --armor --export-secret-keys <id> writes it";

[[noreturn]] void refuse_key(const std::string& source, std::string_view cause, std::string hint) {
    throw Error(ErrorKind::misconfigured, fmt::format("the OpenPGP key of {} {}", source, cause), std::move(hint));
}

/// A key in an environment variable has backslash and n where lines end, and blank lines may be left around it.
std::string with_real_newlines(std::string armored) {
    for (auto at = armored.find("\\n"); at != std::string::npos; at = armored.find("\\n", at + 1)) armored.replace(at, 2, "\n");
    std::string key(trimmed(armored));
    wipe(armored);
    return key;
}

bool allows(const RnpKey& key, const char* usage) {
    bool allowed = false;
    return rnp().key_allows_usage(key.get(), usage, &allowed) == RNP_SUCCESS && allowed;
}

} // namespace

void require_rnp(rnp_result_t result, std::string_view action) {
    if (result != RNP_SUCCESS)
        throw Error(ErrorKind::failed, fmt::format("cannot {} with OpenPGP: {}", action, rnp().result_to_string(result)));
}

OpenpgpKeys::OpenpgpKeys(const std::string& armored, const std::string& passphrase, const std::string& source) {
    rnp_ffi_t ffi = nullptr;
    require_rnp(rnp().ffi_create(&ffi, "GPG", "GPG"), "start");
    ffi_.reset(ffi);
    // Signatures of a key upon itself may be as old as the key. The operator gave it to us; nobody else vouches for it anyway.
    require_rnp(rnp().remove_security_rule(ffi, RNP_FEATURE_HASH_ALG, "SHA1", 0, RNP_SECURITY_REMOVE_ALL, 0, nullptr), "start");
    import(armored, source);
    for (const auto& fingerprint : fingerprints()) {
        add_entity(fingerprint.c_str());
        unlock(fingerprint.c_str(), passphrase, source);
    }
    if (recipients_.empty() && cannot_encrypt_.empty()) refuse_key(source, "has no key in it", key_hint);
    if (!have_secret_) check_encrypts(source);
}

void OpenpgpKeys::check_encrypts(const std::string& source) const {
    if (!cannot_encrypt_.empty())
        refuse_key(source, fmt::format("with fingerprint {} cannot encrypt", cannot_encrypt_),
                   "has it an encryption subkey that is neither expired nor revoked?");
}

void OpenpgpKeys::import(const std::string& armored, const std::string& source) {
    if (armored.empty()) refuse_key(source, "is empty", key_hint);
    rnp_input_t input = nullptr;
    require_rnp(rnp().input_from_memory(&input, reinterpret_cast<const std::uint8_t*>(armored.data()), armored.size(), false),
                "load keys");
    const RnpInput owner(input);
    const auto flags = RNP_LOAD_SAVE_PUBLIC_KEYS | RNP_LOAD_SAVE_SECRET_KEYS | RNP_LOAD_SAVE_PERMISSIVE;
    const auto result = rnp().import_keys(ffi_.get(), input, flags, nullptr);
    if (result != RNP_SUCCESS) refuse_key(source, fmt::format("cannot be read: {}", rnp().result_to_string(result)), key_hint);
}

std::vector<std::string> OpenpgpKeys::fingerprints() const {
    rnp_identifier_iterator_t iterator = nullptr;
    require_rnp(rnp().identifier_iterator_create(ffi_.get(), &iterator, "fingerprint"), "list keys");
    const std::unique_ptr<rnp_identifier_iterator_st, RnpFree<&RnpLibrary::identifier_iterator_destroy>> owner(iterator);
    std::vector<std::string> all;
    const char* fingerprint = nullptr;
    while (rnp().identifier_iterator_next(iterator, &fingerprint) == RNP_SUCCESS && fingerprint != nullptr)
        all.emplace_back(fingerprint);
    return all;
}

/// A primary key is an entity: objects are encrypted to one key of each.
void OpenpgpKeys::add_entity(const char* fingerprint) {
    rnp_key_handle_t handle = nullptr;
    require_rnp(rnp().locate_key(ffi_.get(), "fingerprint", fingerprint, &handle), "find a key");
    const RnpKey key(handle);
    bool primary = false;
    require_rnp(rnp().key_is_primary(handle, &primary), "look at a key");
    if (!primary) return;
    rnp_key_handle_t encryption = nullptr;
    if (rnp().key_get_default_key(handle, "encrypt", 0, &encryption) == RNP_SUCCESS && encryption != nullptr)
        recipients_.emplace_back(encryption);
    else
        cannot_encrypt_ = fingerprint;
}

std::vector<std::uint64_t> OpenpgpKeys::recipient_ids() const {
    std::vector<std::uint64_t> ids;
    for (const auto& recipient : recipients_) {
        char* text = nullptr;
        require_rnp(rnp().key_get_keyid(recipient.get(), &text), "look at a key");
        const std::unique_ptr<char, RnpFree<&RnpLibrary::buffer_destroy>> owner(text);
        ids.push_back(std::strtoull(text, nullptr, 16));
    }
    std::ranges::sort(ids);
    return ids;
}

/// Only keys that decrypt are needed unlocked.
void OpenpgpKeys::unlock(const char* fingerprint, const std::string& passphrase, const std::string& source) {
    rnp_key_handle_t handle = nullptr;
    require_rnp(rnp().locate_key(ffi_.get(), "fingerprint", fingerprint, &handle), "find a key");
    const RnpKey key(handle);
    bool secret = false, is_protected = false;
    require_rnp(rnp().key_have_secret(handle, &secret), "look at a key");
    if (!secret || !allows(key, "encrypt")) return;
    have_secret_ = true;
    require_rnp(rnp().key_is_protected(handle, &is_protected), "look at a key");
    if (!is_protected) return;
    if (passphrase.empty()) refuse_key(source, "is locked with a passphrase, and none is set", "set WALG_PGP_KEY_PASSPHRASE");
    if (rnp().key_unprotect(handle, passphrase.c_str()) != RNP_SUCCESS)
        refuse_key(source, "does not unlock with the passphrase that is set", "check WALG_PGP_KEY_PASSPHRASE");
}

OpenpgpKeyring::OpenpgpKeyring(std::string armored, std::string passphrase, std::string source)
    : armored_(with_real_newlines(std::move(armored))), passphrase_(std::move(passphrase)), source_(std::move(source)) {
    auto keys = take();
    have_secret_ = keys->have_secret();
    give_back(std::move(keys));
}

OpenpgpKeyring::~OpenpgpKeyring() {
    wipe(armored_);
    wipe(passphrase_);
}

std::unique_ptr<OpenpgpKeys> OpenpgpKeyring::take() {
    {
        const std::lock_guard lock(mutex_);
        if (!idle_.empty()) {
            auto keys = std::move(idle_.back());
            idle_.pop_back();
            return keys;
        }
    }
    return std::make_unique<OpenpgpKeys>(armored_, passphrase_, source_);
}

void OpenpgpKeyring::give_back(std::unique_ptr<OpenpgpKeys> keys) {
    const std::lock_guard lock(mutex_);
    if (keys && idle_.size() < idle_max) idle_.push_back(std::move(keys));
}

} // namespace walgd::codec
