#pragma once
#include <span>
#include <string_view>

namespace walgd::config {

/// WAL-G's settings that this version does not act on. Given, they are told once and change nothing.
std::span<const std::string_view> unused_settings();

/// WAL-G's settings that may not be passed over: a key that would encrypt, a storage that would be written to. Given, they are an
/// error.
std::span<const std::string_view> refused_settings();
/// Whether a value with which one of them, named without WAL-G's prefix, is given asks for nothing: as WAL-G's own default does.
bool asks_for_nothing(std::string_view name, std::string_view value);
/// A key by its number in gpg's key ring. WAL-G looks there only where no OpenPGP key is given: without one they are an error as
/// the ones above, with one they are told and passed over.
std::span<const std::string_view> key_ring_settings();
/// Names like WAL-G's that scripts around it (spilo's) and images (ENV WALG_VERSION) have for themselves. Nothing is said about
/// them.
std::span<const std::string_view> scripts_settings();

} // namespace walgd::config
