#pragma once
#include <memory>
#include <rnp/rnp.h>
#include <rnp/rnp_err.h>

namespace walgd::codec {

/// librnp's functions. It is loaded when the first OpenPGP key is configured, and not before: it brings two megabytes of memory
/// and a long start with it, and most archives have no such key.
class RnpLibrary {
public:
    /// Error(misconfigured) when the library is not there.
    static const RnpLibrary& get();

private:
    void* const library_ = open(); // first: the others come out of it
    template <class Function> Function symbol(const char* name) const { return reinterpret_cast<Function>(address(name)); }
    void* address(const char* name) const;
    static void* open();
    RnpLibrary() = default;

public:
#define WALGD_RNP(name) decltype(&::rnp_##name) name = symbol<decltype(&::rnp_##name)>("rnp_" #name);
    WALGD_RNP(buffer_destroy)
    WALGD_RNP(ffi_create)
    WALGD_RNP(ffi_destroy)
    WALGD_RNP(identifier_iterator_create)
    WALGD_RNP(identifier_iterator_destroy)
    WALGD_RNP(identifier_iterator_next)
    WALGD_RNP(import_keys)
    WALGD_RNP(input_destroy)
    WALGD_RNP(input_from_callback)
    WALGD_RNP(input_from_memory)
    WALGD_RNP(key_allows_usage)
    WALGD_RNP(key_get_default_key)
    WALGD_RNP(key_get_keyid)
    WALGD_RNP(key_handle_destroy)
    WALGD_RNP(key_have_secret)
    WALGD_RNP(key_is_primary)
    WALGD_RNP(key_is_protected)
    WALGD_RNP(key_unprotect)
    WALGD_RNP(locate_key)
    WALGD_RNP(op_encrypt_add_recipient)
    WALGD_RNP(op_encrypt_create)
    WALGD_RNP(op_encrypt_destroy)
    WALGD_RNP(op_encrypt_execute)
    WALGD_RNP(op_encrypt_set_aead)
    WALGD_RNP(op_encrypt_set_armor)
    WALGD_RNP(op_encrypt_set_cipher)
    WALGD_RNP(op_encrypt_set_compression)
    WALGD_RNP(op_encrypt_set_file_mtime)
    WALGD_RNP(op_encrypt_set_file_name)
    WALGD_RNP(op_verify_create)
    WALGD_RNP(op_verify_destroy)
    WALGD_RNP(op_verify_execute)
    WALGD_RNP(op_verify_get_protection_info)
    WALGD_RNP(op_verify_set_flags)
    WALGD_RNP(output_destroy)
    WALGD_RNP(output_to_callback)
    WALGD_RNP(remove_security_rule)
    WALGD_RNP(result_to_string)
#undef WALGD_RNP
};

/// Frees a thing of librnp's by one of its functions.
template <auto function> struct RnpFree {
    template <class T> void operator()(T* thing) const noexcept { (RnpLibrary::get().*function)(thing); }
};

} // namespace walgd::codec
