#include "proto/frame.hpp"

#include <algorithm>
#include <cstdlib>

/// First byte: the size of the pieces. What comes out must be what its own encoding gives back.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace walgd::proto;
    if (size == 0) return 0;
    const std::size_t piece = data[0] + std::size_t{1};
    std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    FrameReader reader;
    for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
        reader.feed(bytes.substr(0, piece));
        while (const auto frame = reader.next()) {
            FrameReader again;
            again.feed(encoded(*frame));
            const auto same = again.next();
            if (!same || same->type != frame->type || same->request != frame->request || same->fields != frame->fields)
                std::abort();
        }
        if (!reader.failed() && reader.wanted() == 0) std::abort(); // then there would be a frame
    }
    return 0;
}
