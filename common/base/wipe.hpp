#pragma once
#include <string.h>
#include <string>

namespace walgd {

/// Overwrites a secret, so that memory which is given back does not hold it. The text is empty then.
inline void wipe(std::string& text) {
    text.resize(text.capacity());
    ::explicit_bzero(text.data(), text.size());
    text.clear();
}

/// Wipes at the end of its block.
class WipeAtEnd {
public:
    explicit WipeAtEnd(std::string& text) : text_(text) {}
    ~WipeAtEnd() { wipe(text_); }
    WipeAtEnd(const WipeAtEnd&) = delete;

private:
    std::string& text_;
};

} // namespace walgd
