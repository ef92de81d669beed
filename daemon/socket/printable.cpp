#include "daemon/socket/printable.hpp"

namespace walgd::daemon {

std::string printable(std::string_view text) {
    constexpr std::size_t shown = 80;
    std::string out(text.substr(0, shown));
    for (auto& letter : out) {
        if (letter < ' ' || letter > '~') letter = '?';
    }
    return text.size() > shown ? out + "..." : out;
}

} // namespace walgd::daemon
