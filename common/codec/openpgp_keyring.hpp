#pragma once
#include "common/codec/rnp_library.hpp"

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace walgd::codec {

using RnpKey = std::unique_ptr<rnp_key_handle_st, RnpFree<&RnpLibrary::key_handle_destroy>>;
using RnpInput = std::unique_ptr<rnp_input_st, RnpFree<&RnpLibrary::input_destroy>>;
using RnpOutput = std::unique_ptr<rnp_output_st, RnpFree<&RnpLibrary::output_destroy>>;

inline const RnpLibrary& rnp() { return RnpLibrary::get(); }

/// Throws Error(failed) naming `action` unless `result` is success.
void require_rnp(rnp_result_t result, std::string_view action);

/// The keys of one setting, loaded into the library, unlocked. For one thread at a time.
class OpenpgpKeys {
public:
    /// Error(misconfigured) names `source`, never a key. Private keys that have expired are taken: they decrypt what was written
    /// before.
    OpenpgpKeys(const std::string& armored, const std::string& passphrase, const std::string& source);

    rnp_ffi_t ffi() const { return ffi_.get(); }
    /// One encryption key an entity.
    const std::vector<RnpKey>& recipients() const { return recipients_; }
    /// Their ids, sorted.
    std::vector<std::uint64_t> recipient_ids() const;
    bool have_secret() const { return have_secret_; }
    /// Error(misconfigured) when one of the entities has no key to encrypt to, as it expired or was revoked.
    void check_encrypts(const std::string& source) const;

private:
    void import(const std::string& armored, const std::string& source);
    void add_entity(const char* fingerprint);
    void unlock(const char* fingerprint, const std::string& passphrase, const std::string& source);
    std::vector<std::string> fingerprints() const;

    std::unique_ptr<rnp_ffi_st, RnpFree<&RnpLibrary::ffi_destroy>> ffi_;
    std::vector<RnpKey> recipients_; // freed before the library's state
    std::string cannot_encrypt_;     ///< the fingerprint of an entity
    bool have_secret_ = false;
};

/// As many OpenpgpKeys as there are stages at a time: the library's state is not thread-safe, and unlocking a key is slow by
/// design.
class OpenpgpKeyring {
public:
    OpenpgpKeyring(std::string armored, std::string passphrase, std::string source);
    ~OpenpgpKeyring();
    OpenpgpKeyring(const OpenpgpKeyring&) = delete;
    std::unique_ptr<OpenpgpKeys> take();
    void give_back(std::unique_ptr<OpenpgpKeys> keys);
    bool have_secret() const { return have_secret_; }
    const std::string& source() const { return source_; }

private:
    std::string armored_, passphrase_, source_;
    bool have_secret_ = false;
    std::mutex mutex_;
    std::vector<std::unique_ptr<OpenpgpKeys>> idle_;
};

} // namespace walgd::codec
