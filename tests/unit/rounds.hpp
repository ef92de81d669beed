#pragma once

#ifndef __has_feature // GCC has names of its own for it
#define __has_feature(name) 0
#endif

namespace walgd {

/// How often a test repeats what chance decides: a fifth where a sanitizer makes each step several times as dear.
constexpr unsigned rounds(unsigned without_sanitizer) {
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || defined(__SANITIZE_ADDRESS__) ||                      \
    defined(__SANITIZE_THREAD__)
    return (without_sanitizer + 4) / 5;
#else
    return without_sanitizer;
#endif
}

} // namespace walgd
