#pragma once
#include "common/archive/archive.hpp"
#include "common/codec/cipher.hpp"
#include "config/settings.hpp"

#include <memory>

namespace walgd::config {

/// The cipher that the keys ask for; nullptr without any. Error(misconfigured) where a key setting would not be used.
std::unique_ptr<codec::Cipher> chosen_cipher(const Settings& settings);

/// How objects are packed; `cipher` must outlive it, nullptr: they are not encrypted. Error(misconfigured) where a level is not
/// the method's.
archive::Packing packing_of(const Settings& settings, const codec::Cipher* cipher);

} // namespace walgd::config
