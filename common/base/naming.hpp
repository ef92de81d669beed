#pragma once
#include "common/base/error.hpp"

namespace walgd {

/// `error`; led by the object's name where its message does not have it.
inline Error named(const Error& error, std::string_view object) {
    return std::string_view(error.what()).find(object) == std::string_view::npos ? error.within(object) : error;
}

/// Runs `work`; an Error that does not name `object` gets to.
template <class Work> auto naming(std::string_view object, Work work) {
    try {
        return work();
    } catch (const Error& error) {
        throw named(error, object);
    }
}

} // namespace walgd
