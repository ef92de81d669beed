#include "config/packing_settings.hpp"

#include "common/base/bytes.hpp"
#include "common/base/files.hpp"
#include "common/base/wipe.hpp"

#include <fmt/format.h>
#include <string>
#include <string_view>
#include <utility>

namespace walgd::config {

namespace {

/// The key's text and where it came from, out of the setting or the file that the other one names.
std::pair<std::string, std::string> key_of(const Settings& settings, const std::string& name) {
    const auto path_name = name + "_path";
    if (settings.given(name) && settings.given(path_name))
        throw Error(
            ErrorKind::misconfigured,
            fmt::format("both {} ({}) and {} ({}) are given", name, settings.source(name), path_name, settings.source(path_name)),
            "keep one of them");
    if (settings.given(name)) return {settings.text(name), settings.source(name)};
    if (!settings.given(path_name)) return {};
    try {
        return {std::string(trimmed(read_secret_file(settings.text(path_name)))),
                fmt::format("{} (from {})", settings.text(path_name), settings.source(path_name))};
    } catch (const Error& error) {
        throw error.within(fmt::format("the key's file that {} names ({})", path_name, settings.source(path_name)));
    }
}

} // namespace

std::unique_ptr<codec::Cipher> chosen_cipher(const Settings& settings) {
    auto [sodium, sodium_source] = key_of(settings, "libsodium_key");
    auto [pgp, pgp_source] = key_of(settings, "pgp_key");
    const WipeAtEnd sodium_wiped(sodium), pgp_wiped(pgp);
    auto needs = [&](std::string_view name, std::string_view key) {
        if (settings.given(name))
            throw Error(ErrorKind::misconfigured,
                        fmt::format("{} is given ({}), but no key that it belongs to", name, settings.source(name)),
                        fmt::format("set {} too, or take it out", key));
    };
    if (!sodium_source.empty() && !pgp_source.empty())
        throw Error(
            ErrorKind::misconfigured,
            fmt::format("keys for libsodium ({}) and OpenPGP ({}) are given; only one can be used", sodium_source, pgp_source),
            "keep one of them");
    if (sodium_source.empty()) needs("libsodium_key_transform", "WALG_LIBSODIUM_KEY or WALG_LIBSODIUM_KEY_PATH");
    if (pgp_source.empty()) needs("pgp_key_passphrase", "WALG_PGP_KEY or WALG_PGP_KEY_PATH");
    if (!sodium_source.empty()) {
        const auto transform = settings.text("libsodium_key_transform");
        return codec::make_libsodium_cipher(sodium,
                                            transform == "hex"      ? codec::KeyTransform::hex
                                            : transform == "base64" ? codec::KeyTransform::base64
                                                                    : codec::KeyTransform::none,
                                            "WALG_LIBSODIUM_KEY, " + sodium_source);
    }
    if (pgp_source.empty()) return nullptr;
    // As files of secrets have it, an end of line may be left behind it.
    auto passphrase = settings.text("pgp_key_passphrase");
    while (passphrase.ends_with('\n') || passphrase.ends_with('\r')) passphrase.pop_back();
    const WipeAtEnd passphrase_wiped(passphrase);
    return codec::make_openpgp_cipher(pgp, passphrase, "WALG_PGP_KEY, " + pgp_source);
}

archive::Packing packing_of(const Settings& settings, const codec::Cipher* cipher) {
    archive::Packing packing;
    packing.compression = codec::compression_by_name(settings.text("compression_method"));
    packing.cipher = cipher;
    if (settings.text("compression_level") == "auto" && (packing.compression->name() != "zstd" || settings.given("zstd_level")))
        throw Error(ErrorKind::misconfigured,
                    "compression_level is auto, which goes with compression_method zstd and no zstd_level",
                    "set WALG_COMPRESSION_METHOD=zstd and take zstd_level out, or take compression_level out");
    if (settings.given("zstd_level")) {
        if (packing.compression->name() != "zstd")
            throw Error(ErrorKind::misconfigured,
                        fmt::format("zstd_level is given, but compression_method is {}", packing.compression->name()),
                        "set WALG_COMPRESSION_METHOD=zstd, or take it out");
        packing.level = settings.text("zstd_level");
        packing.compression->check_level(packing.level);
    }
    return packing;
}

} // namespace walgd::config
