#include "common/codec/rnp_library.hpp"

#include "common/base/error.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

namespace walgd::codec {

namespace {

/// Of the headers that we were compiled with.
constexpr const char* file = "librnp.so.0";

} // namespace

void* RnpLibrary::open() {
    void* const library = ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
        throw Error(ErrorKind::misconfigured, fmt::format("OpenPGP needs {}: {}", file, ::dlerror()),
                    "install it (Debian: librnp0), or use WALG_LIBSODIUM_KEY");
    return library;
}

const RnpLibrary& RnpLibrary::get() {
    static const RnpLibrary library;
    return library;
}

void* RnpLibrary::address(const char* name) const {
    void* const found = ::dlsym(library_, name);
    if (found == nullptr)
        throw Error(ErrorKind::misconfigured, fmt::format("{} has no {}", file, name), "is it of release 0.16 or later?");
    return found;
}

} // namespace walgd::codec
